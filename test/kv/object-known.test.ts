// What a worker remembers of its objects: none that has gone by its time to live, so that its memory does
// not grow with every prompt, and its end does not go by with removing what is not there.

import { expect, test } from 'bun:test';
import { ObjectPut } from '../../src/kv/object-put.ts';
import { MemoryObjectHub } from '../../src/plane/memory-object.ts';
import type { ObjectBucket } from '../../src/plane/object-store.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { seededChance } from '../../src/std/prng.ts';
import { silentLog } from '../../src/telemetry/log.ts';

const ttlMs = 10_000;

test('objects that have gone are forgotten; what is left is removed at the end', async () => {
  const clock = new ManualClock();
  const hub = new MemoryObjectHub({ clock, chance: seededChance(1) });
  const inner = hub.open().bucket({
    name: 'known',
    description: '',
    storage: 'memory',
    bytesMax: 2 ** 20,
    ttlMs,
    replicaCount: 1,
  });
  const removed: string[] = [];
  const bucket: ObjectBucket = {
    name: inner.name,
    put: (name, bytes, call) => inner.put(name, bytes, call),
    info: (name, call) => inner.info(name, call),
    get: (info, call) => inner.get(info, call),
    remove: (info, call) => {
      removed.push(info.name);
      return inner.remove(info, call);
    },
    usedBytes: (call) => inner.usedBytes(call),
  };
  const put = new ObjectPut({ bucket, clock, log: silentLog, ttlMs });
  const { signal } = new AbortController();
  const store = (name: string) =>
    put.put(name, { bytes: 5, frame: () => new Uint8Array(5), signal });
  const held = await store('held');
  for (let i = 0; i < 20; i++) {
    (await store(`block ${i}`)).letGo();
    clock.advance(1000);
  }
  // The last ten are there; somebody still reads `held`, whatever the bucket did with it.
  expect(put.heldCount).toBe(1);
  await put.clear();
  const left = Array.from({ length: 10 }, (_, i) => `block ${i + 10}`);
  expect(removed).toEqual(['held', ...left]);
  held.letGo();
});
