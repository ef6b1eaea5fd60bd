// A bucket that stays full costs one wait, not one for each prompt: whoever waits keeps a slot occupied.

import { expect, test } from 'bun:test';
import { ObjectPut } from '../../src/kv/object-put.ts';
import { MemoryObjectHub } from '../../src/plane/memory-object.ts';
import { limit } from '../../src/protocol/limit.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { seededChance } from '../../src/std/prng.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { settle } from '../plane/make.ts';

test('full of others’ objects: waits once, then refuses at once until something fits again', async () => {
  const clock = new ManualClock();
  const hub = new MemoryObjectHub({ clock, chance: seededChance(1) });
  const bucket = hub.open().bucket({
    name: 'room',
    description: '',
    storage: 'memory',
    bytesMax: 100,
    ttlMs: 600_000,
    replicaCount: 1,
  });
  const call = { timeoutMs: 1000 };
  const other = await bucket.put('other', new Uint8Array(80), call);
  if (other.outcome !== 'stored') throw new Error(other.outcome);
  const put = new ObjectPut({ bucket, clock, log: silentLog, ttlMs: 600_000 });
  const { signal } = new AbortController();
  const ask = (name: string): Promise<string> =>
    put.put(name, { bytes: 50, frame: () => new Uint8Array(50), signal }).then(
      () => 'stored',
      (fault) => fault.reason,
    );
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= limit.objectRoomMs) {
      clock.advance(limit.objectRoomMs);
      await settle();
    }
  };
  let first = 'waits';
  void ask('a').then((how) => {
    first = how;
  });
  await settle();
  await pass(limit.objectRoomWaitMs - limit.objectRoomMs);
  expect(first).toBe('waits');
  await pass(2 * limit.objectRoomMs);
  expect(first).toBe('full');
  expect(await ask('b')).toBe('full');
  await bucket.remove(other.info, call);
  expect(await ask('c')).toBe('stored');
  expect(put.heldCount).toBe(1);
});
