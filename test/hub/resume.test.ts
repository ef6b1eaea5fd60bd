// Downloads that break off, stand still, or bring what the hub did not list.

import { describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { limit } from '../../src/protocol/limit.ts';
import { etagOf, type FileFault } from './fake-hub.ts';
import { faultOf, HubWorld, noise, tinyFiles, weightBytes } from './world.ts';

const file = 'model.safetensors';
const cut = (afterBytes: number): FileFault => ({ type: 'cut', afterBytes });

async function prepared(...faults: readonly FileFault[]) {
  const world = await HubWorld.open();
  const weights = world.hub.add('org/tiny', tinyFiles()).files.get(file);
  if (weights === undefined) throw new Error('no weights');
  world.hub.fault(file, ...faults);
  const blob = world.path('blobs', etagOf(weights));
  return {
    world,
    bytes: weights.bytes,
    blob,
    ranges: () => world.hub.bytesAsked(file).map(({ range }) => range),
    isWhole: () => readFileSync(blob).equals(weights.bytes),
    leave: (left: Uint8Array) => {
      mkdirSync(world.path('blobs'), { recursive: true });
      writeFileSync(`${blob}.incomplete`, left);
    },
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

describe('a cut', () => {
  test('goes on from the byte where it was, as often as it takes', async () => {
    await using it = await prepared(cut(100_000), cut(50_000));
    const { files } = await it.world.pull();
    expect(it.ranges()).toEqual([null, 'bytes=100000-', 'bytes=150000-']);
    expect(it.isWhole()).toBeTrue();
    expect(files.find(({ name }) => name === file)?.downloadedBytes).toBe(weightBytes);
    expect(it.world.notes.join('\n')).toContain(`at 100000 of ${weightBytes} bytes; going on`);
  });

  test('what an earlier process left is gone on from', async () => {
    await using it = await prepared();
    it.leave(it.bytes.slice(0, 120_000));
    const { files } = await it.world.pull();
    expect(it.ranges()).toEqual(['bytes=120000-']);
    expect(files.find(({ name }) => name === file)?.downloadedBytes).toBe(weightBytes - 120_000);
    expect(it.isWhole()).toBeTrue();
    expect(existsSync(`${it.blob}.incomplete`)).toBeFalse();
  });

  test('all of it is there already: nothing is asked for', async () => {
    await using it = await prepared();
    it.leave(it.bytes);
    await it.world.pull();
    expect(it.ranges()).toEqual([]);
    expect(it.isWhole()).toBeTrue();
  });

  test('more is there than there should be: from the beginning', async () => {
    await using it = await prepared();
    it.leave(noise(weightBytes + 1));
    await it.world.pull();
    expect(it.ranges()).toEqual([null]);
    expect(it.isWhole()).toBeTrue();
    expect(it.world.notes).toEqual([]);
  });

  test('a server without ranges sends all of it again', async () => {
    await using it = await prepared(cut(100_000), { type: 'no ranges' });
    await it.world.pull();
    expect(it.ranges()).toEqual([null, 'bytes=100000-']);
    expect(it.isWhole()).toBeTrue();
  });

  test('a server that does not know such a range: from the beginning', async () => {
    await using it = await prepared(cut(100_000), { type: 'status', status: 416 });
    await it.world.pull();
    expect(it.ranges()).toEqual([null, 'bytes=100000-', null]);
    expect(it.isWhole()).toBeTrue();
  });

  test('a server that falls silent is left, and asked again', async () => {
    await using it = await prepared({ type: 'silent', afterBytes: 70_000 });
    await it.world.pull();
    expect(it.ranges()).toEqual([null, 'bytes=70000-']);
    expect(it.world.notes.join('\n')).toContain('fallen silent at 70000');
  });

  test('a link to the bytes that has ended, and a server that is busy, are asked again', async () => {
    const busy = { type: 'status', status: 503, headers: { 'retry-after': '1' } } as const;
    await using it = await prepared({ type: 'status', status: 403 }, busy);
    await it.world.pull();
    expect(it.isWhole()).toBeTrue();
    const notes = it.world.notes.join('\n');
    expect(notes).toMatch(/answers 403; .*going on in 0\.5 s/);
    expect(notes).toMatch(/answers 503; .*going on in 1 s/);
    expect(notes).not.toContain('secret');
  });

  test('no byte comes, again and again: given up with what has come, for the next time', async () => {
    const down = new Array<FileFault>(limit.hubTryMax).fill({ type: 'status', status: 500 });
    await using it = await prepared(cut(90_000), ...down);
    const fault = await faultOf(it.world.pull());
    expect(fault.message).toContain('answers 500');
    const pauses = it.world.notes.map((note) => / going on(?: in (.*) s)?$/.exec(note)?.[1]);
    expect(pauses).toEqual([undefined, '0.5', '1', '2', '4', '8']);
    expect(readFileSync(`${it.blob}.incomplete`).equals(it.bytes.slice(0, 90_000))).toBeTrue();
    expect(existsSync(it.blob)).toBeFalse();
    expect(existsSync(it.world.path('refs'))).toBeFalse();
    await it.world.pull();
    expect(it.ranges().at(-1)).toBe('bytes=90000-');
    expect(it.isWhole()).toBeTrue();
  });

  test('being told to stop keeps what has come', async () => {
    await using it = await prepared({ type: 'silent', afterBytes: 70_000 });
    const stop = new AbortController();
    const pulled = faultOf(it.world.pull('org/tiny', { signal: stop.signal }));
    it.world.hub.onBytes = (name) => {
      if (name === file) queueMicrotask(() => stop.abort());
    };
    expect((await pulled).code).toBe('cancelled');
    expect(existsSync(it.blob)).toBeFalse();
  });
});

describe('what is not what the hub listed', () => {
  test('other bytes of the same size never become the file', async () => {
    await using it = await prepared({ type: 'other bytes', bytes: noise(weightBytes, 9) });
    const fault = await faultOf(it.world.pull());
    expect([fault.reason, fault.message]).toEqual(['hash', expect.stringContaining(file)]);
    expect(readdirSync(it.world.path('blobs')).filter((name) => it.blob.endsWith(name))).toEqual(
      [],
    );
    expect(existsSync(`${it.blob}.incomplete`)).toBeFalse();
    expect(existsSync(it.world.path('snapshots'))).toBeFalse();
    await it.world.pull();
    expect(it.isWhole()).toBeTrue();
  });

  test('so with small files, which are known by git’s hash', async () => {
    await using it = await prepared();
    const bytes = new TextEncoder().encode('{"model": [}');
    const other = bytes.length === 13 ? bytes : new TextEncoder().encode('{"model": []}');
    it.world.hub.fault('tokenizer.json', { type: 'other bytes', bytes: other });
    const fault = await faultOf(it.world.pull());
    expect([fault.reason, fault.message]).toEqual([
      'hash',
      expect.stringContaining('tokenizer.json'),
    ]);
  });

  test('damage in what an earlier process left costs a second download, not the model', async () => {
    await using it = await prepared();
    it.leave(noise(100_000, 5));
    await it.world.pull();
    expect(it.ranges()).toEqual(['bytes=100000-', null]);
    expect(it.isWhole()).toBeTrue();
    expect(it.world.notes.join('\n')).toContain('does not have the right hash');
  });

  test('damage that comes again, cut as well, is the end of it', async () => {
    const other = { type: 'other bytes', bytes: noise(weightBytes, 9) } as const;
    await using it = await prepared(other, { ...other, afterBytes: 50_000 }, other);
    it.leave(noise(100_000, 5));
    expect((await faultOf(it.world.pull())).reason).toBe('hash');
    expect(it.ranges()).toEqual(['bytes=100000-', null, 'bytes=50000-']);
    expect(existsSync(`${it.blob}.incomplete`)).toBeFalse();
  });

  test('more or fewer bytes', async () => {
    for (const count of [weightBytes - 1, weightBytes + 1]) {
      await using it = await prepared({ type: 'other bytes', bytes: noise(count) });
      const fault = await faultOf(it.world.pull());
      expect([fault.reason, fault.message]).toEqual([
        'size',
        expect.stringContaining(`listed ${weightBytes} bytes, and it gives ${count}`),
      ]);
    }
  });

  test.each([
    ['x-linked-size', '5', 'size'],
    ['x-linked-etag', `"${'a'.repeat(64)}"`, 'hash'],
  ])('another %s ends it before a byte is asked for in vain', async (header, value, reason) => {
    await using it = await prepared();
    it.world.hub.linked.set(file, { [header]: value });
    expect((await faultOf(it.world.pull())).reason).toBe(reason);
    expect(existsSync(join(it.world.path('snapshots')))).toBeFalse();
  });
});
