// A disk that is too small, or runs full on the way.

import { expect, test } from 'bun:test';
import { readdirSync, statSync } from 'node:fs';
import { realDisk } from '../../src/hub/disk.ts';
import { faultOf, HubWorld, tinyFiles, weightBytes } from './world.ts';

const mib = 2 ** 20;

test('too little space is said before anything comes, with both numbers', async () => {
  await using world = await HubWorld.open();
  world.hub.add('org/tiny', tinyFiles());
  const fault = await faultOf(world.pull('org/tiny', { disk: { freeBytes: () => mib / 10 } }));
  expect(fault.reason).toBe('space');
  expect(fault.message).toContain('293 KiB are to come');
  expect(fault.message).toContain('102 KiB free');
  expect(world.hub.asked.every(({ path }) => path.startsWith('/api/'))).toBeTrue();
});

test('a disk that runs full is one line; what has come stays and is gone on from', async () => {
  await using world = await HubWorld.open();
  world.hub.add('org/tiny', tinyFiles());
  let left = 150_000;
  const disk = {
    async write(...[file, bytes, position]: Parameters<typeof realDisk.write>): Promise<void> {
      const fits = bytes.subarray(0, left);
      left -= fits.length;
      await realDisk.write(file, fits, position);
      if (fits.length === bytes.length) return;
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    },
  };
  const fault = await faultOf(world.pull('org/tiny', { disk }));
  expect([fault.code, fault.reason]).toEqual(['config', 'space']);
  expect(fault.message).toContain(world.cacheDir);
  const partial = readdirSync(world.path('blobs')).find((name) => name.endsWith('.incomplete'));
  const kept = statSync(world.path('blobs', partial ?? '')).size;
  expect(kept).toBeGreaterThan(100_000);
  await world.pull();
  expect(world.hub.bytesAsked('model.safetensors').at(-1)?.range).toBe(`bytes=${kept}-`);
  expect(kept).toBeLessThan(weightBytes);
});

test('a cache that cannot be written to names it, with the mend', async () => {
  await using world = await HubWorld.open();
  world.hub.add('org/tiny', tinyFiles());
  const fault = await faultOf(world.pull('org/tiny', { cacheDir: '/proc/nowhere' }));
  expect(fault.reason).toBe('write');
  expect(fault.message).toContain('/proc/nowhere');
  expect(fault.message).toContain('HF_HOME');
});
