// A start with a repository: the cache where it will do, the hub where it is needed.

import { describe, expect, test } from 'bun:test';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FakeHub } from './fake-hub.ts';
import { faultOf, HubWorld, tinyFiles } from './world.ts';

const commit = 'c'.repeat(40);

/** As transformers leaves it: links to blobs, no locks, files that we do not read. */
function pythonCache(
  world: HubWorld,
  files: Readonly<Record<string, string | Uint8Array>>,
): string {
  const folder = world.path('snapshots', commit);
  for (const place of [folder, world.path('blobs'), world.path('refs')]) {
    mkdirSync(place, { recursive: true });
  }
  for (const [at, [name, content]] of Object.entries(files).entries()) {
    writeFileSync(world.path('blobs', `blob${at}`), content);
    symlinkSync(`../../blobs/blob${at}`, join(folder, name));
  }
  writeFileSync(world.path('refs/main'), commit);
  return folder;
}

const needed = {
  'config.json': '{}',
  'tokenizer.json': '{}',
  'tokenizer_config.json': '{}',
  'model.safetensors': 'w',
  'vocab.json': '{}',
};

describe('without asking', () => {
  test.each([
    ['offline', 'org/tiny', true],
    ['a commit', `org/tiny@${commit}`, false],
  ])('%s: what Python has downloaded is used', async (_name, name, offline) => {
    await using world = await HubWorld.open();
    const folder = pythonCache(world, needed);
    expect(await world.locate(name, { offline })).toMatchObject({ folder, commit });
    expect(world.hub.asked).toEqual([]);
    expect(world.warnings).toEqual([]);
  });

  test('weights in several files count when all are there', async () => {
    await using world = await HubWorld.open();
    const { 'model.safetensors': _, ...texts } = needed;
    const index = { weight_map: { a: 'm-1-of-2.safetensors', b: 'm-2-of-2.safetensors' } };
    const parts = { 'm-1-of-2.safetensors': '1', 'm-2-of-2.safetensors': '2' };
    const indexFile = 'model.safetensors.index.json';
    const folder = pythonCache(world, { ...texts, ...parts, [indexFile]: JSON.stringify(index) });
    expect(await world.locate('org/tiny', { offline: true })).toMatchObject({ folder });
    rmSync(join(folder, 'm-2-of-2.safetensors'));
    const fault = await faultOf(world.locate('org/tiny', { offline: true }));
    expect(fault.message).toContain('no m-2-of-2.safetensors');
    rmSync(join(folder, indexFile)); // one part of unknown others is not all
    expect((await faultOf(world.locate('org/tiny', { offline: true }))).reason).toBe('offline');
  });

  test('offline, and a blob is gone: named, with the mend', async () => {
    await using world = await HubWorld.open();
    pythonCache(world, needed);
    rmSync(world.path('blobs/blob3'));
    const fault = await faultOf(world.locate('org/tiny', { offline: true }));
    expect(fault.message).toContain('no model.safetensors');
    expect(fault.message).toContain('HF_HUB_OFFLINE');
    expect(world.hub.asked).toEqual([]);
  });

  test('offline, and the cache knows nothing of it', async () => {
    await using world = await HubWorld.open();
    const fault = await faultOf(world.locate('org/tiny', { offline: true }));
    expect([fault.code, fault.reason]).toEqual(['config', 'offline']);
    expect(fault.message).toContain(world.cacheDir);
  });
});

describe('with a hub', () => {
  test('a newer commit is downloaded', async () => {
    await using world = await HubWorld.open();
    pythonCache(world, needed);
    const newer = world.hub.add('org/tiny', tinyFiles()).refs.get('main');
    expect((await world.locate()).commit).toBe(newer ?? '');
  });

  test.each<[string, FakeHub['apiFaults'][number]]>([
    ['busy', { type: 'status', status: 503 }],
    ['not letting us', { type: 'status', status: 401 }],
    ['not answering at all', { type: 'silent', afterBytes: 0 }],
  ])('%s, it is done without, and said', async (_name, fault) => {
    await using world = await HubWorld.open();
    const folder = pythonCache(world, needed);
    world.hub.add('org/tiny', tinyFiles());
    world.hub.apiFaults.push(fault);
    expect(await world.locate()).toMatchObject({ folder });
    expect(world.warnings).toHaveLength(1);
    expect(world.warnings[0]).toContain('as it is in the cache, cccccccccccc');
  });

  test('a newer commit that cannot be had changes nothing', async () => {
    await using world = await HubWorld.open();
    const folder = pythonCache(world, needed);
    world.hub.add('org/tiny', tinyFiles());
    const disk = { freeBytes: () => 10 };
    expect(await world.locate('org/tiny', { disk })).toMatchObject({ folder });
    expect(world.warnings[0]).toContain('10 B free');
    expect(await world.locate('org/tiny', { offline: true })).toMatchObject({ folder });
  });

  test('not whole in the cache, and no hub: that is the end', async () => {
    await using world = await HubWorld.open();
    pythonCache(world, { 'config.json': '{}' });
    world.hub.apiFaults.push({ type: 'status', status: 503 });
    world.hub.add('org/tiny', tinyFiles());
    expect((await faultOf(world.locate())).reason).toBe('network');
  });
});
