// The object store's contract, held by every body of the port.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { BucketOptions, ObjectInfo, ObjectStore } from '../../src/plane/object-store.ts';
import {
  bucketOptions,
  bytesOf,
  memoryObjectWorld,
  natsObjectWorld,
  reasonOf,
  sameBytes,
  until,
} from '../plane/object-world.ts';

const mib = 1024 * 1024;
const call = { timeoutMs: 10_000 };

for (const world of [memoryObjectWorld(), natsObjectWorld()]) {
  describe(`object store contract: ${world.name}`, () => {
    let one: ObjectStore;
    let two: ObjectStore;
    const used = new Set<string>();

    const open = (options: Partial<BucketOptions> = {}) => {
      const whole = bucketOptions(options);
      used.add(whole.name);
      return { mine: one.bucket(whole), theirs: two.bucket(whole) };
    };
    const stored = async (
      bucket: ReturnType<ObjectStore['bucket']>,
      name: string,
      bytes: Uint8Array,
    ): Promise<ObjectInfo> => {
      const put = await bucket.put(name, bytes, call);
      if (put.outcome !== 'stored') throw new Error(`put ${name}: ${put.outcome}`);
      return put.info;
    };

    beforeAll(async () => {
      await world.start();
      one = world.open();
      two = world.open();
    });

    afterEach(async () => {
      const names = [...used];
      used.clear();
      for (const name of names) {
        let left: readonly string[] = [];
        const isClean = async () => {
          left = await world.leftovers(name).catch(() => []); // never made
          return left.length === 0;
        };
        // Sooner than the server by itself drops a consumer whose reader has gone.
        await until(isClean, `bucket ${name} is clean`, 2500).catch((error: Error) => {
          throw new Error(`${error.message}; there are ${left.join(', ')}`);
        });
      }
    });

    afterAll(async () => {
      await Promise.all([one.close(), two.close()]);
      await world.end();
    });

    test.each([
      ['empty', 0],
      ['of 1 byte', 1],
      ['of exactly one chunk', 128 * 1024],
      ['of a chunk and a byte', 128 * 1024 + 1],
      ['of 3 MiB', 3 * mib],
      ['of 20 MiB', 20 * mib],
    ])('an object %s arrives as it left', async (_, size) => {
      const { mine, theirs } = open();
      const bytes = bytesOf(size);
      const put = await stored(mine, 'a/b c.é', bytes);
      expect(put).toMatchObject({ name: 'a/b c.é', bytes: size });
      const info = await theirs.info('a/b c.é', call);
      expect(info).toEqual(put);
      const got = await theirs.get(put, call);
      expect(got.buffer.byteLength).toBe(size);
      expect(sameBytes(got, bytes)).toBe(true);
      expect(await mine.usedBytes(call)).toBeGreaterThanOrEqual(size);
    });

    test('a name that is there is not put again', async () => {
      const { mine, theirs } = open();
      const info = await stored(mine, 'x', bytesOf(mib));
      const usedBytes = await mine.usedBytes(call);
      expect(await theirs.put('x', bytesOf(mib), call)).toEqual({ outcome: 'present', info });
      expect(await mine.usedBytes(call)).toBe(usedBytes);
    });

    test('bytes that a function makes are made once, and not for a name that is there', async () => {
      const { mine, theirs } = open();
      let made = 0;
      const make = (): Uint8Array => bytesOf(mib, ++made);
      const put = await mine.put('x', make, call);
      if (put.outcome !== 'stored') throw new Error(put.outcome);
      expect(sameBytes(await theirs.get(put.info, call), bytesOf(mib, 1))).toBe(true);
      expect((await theirs.put('x', make, call)).outcome).toBe('present');
      expect(made).toBe(1);
      const never = (): never => {
        throw new Error('no bytes');
      };
      await expect(mine.put('y', never, call)).rejects.toThrow('no bytes');
      expect(await mine.info('y', call)).toBeNull();
    });

    test('of writers at the same time one wins, and the others tell of its object', async () => {
      const { mine, theirs } = open();
      const writers = [mine, theirs, mine, theirs, mine];
      const puts = await Promise.all(
        writers.map((bucket, i) => bucket.put('x', bytesOf(mib, i), call)),
      );
      expect(puts.map((put) => put.outcome).sort()).toEqual([
        ...Array(4).fill('present'),
        'stored',
      ]);
      const infos = puts.map((put) => (put.outcome === 'full' ? null : put.info));
      const winner = puts.findIndex((put) => put.outcome === 'stored');
      const info = infos[0] ?? null;
      if (info === null) throw new Error('no info');
      expect(infos).toEqual(Array(5).fill(info));
      expect(sameBytes(await theirs.get(info, call), bytesOf(mib, winner))).toBe(true);
    });

    test('readers at the same time', async () => {
      const { mine, theirs } = open();
      const infos = [await stored(mine, 'x', bytesOf(3 * mib, 1))];
      infos.push(await stored(mine, 'y', bytesOf(3 * mib, 2)));
      const reads = [mine, theirs].flatMap((bucket) => infos.map((info) => bucket.get(info, call)));
      const all = await Promise.all(reads);
      const want = [bytesOf(3 * mib, 1), bytesOf(3 * mib, 2)];
      const same = all.map((bytes, i) => sameBytes(bytes, want[i % 2] ?? bytesOf(0)));
      expect(same).toEqual([true, true, true, true]);
    });

    test('a full bucket takes nothing more, keeps what it has, and has room after a removal', async () => {
      const { mine } = open({ bytesMax: 4 * mib });
      const info = await stored(mine, 'x', bytesOf(3 * mib));
      const usedBytes = await mine.usedBytes(call);
      expect(await mine.put('y', bytesOf(3 * mib), call)).toEqual({ outcome: 'full' });
      expect(await mine.put('z', bytesOf(20 * mib), call)).toEqual({ outcome: 'full' });
      expect(await mine.usedBytes(call)).toBe(usedBytes);
      expect(await mine.info('y', call)).toBeNull();
      await mine.remove(info, call);
      expect((await mine.put('y', bytesOf(3 * mib), call)).outcome).toBe('stored');
    });

    test('what is removed is gone, and may come again', async () => {
      const { mine, theirs } = open();
      const info = await stored(mine, 'x', bytesOf(mib));
      await theirs.remove(info, call);
      expect(await mine.info('x', call)).toBeNull();
      expect(await mine.usedBytes(call)).toBe(0);
      expect(await reasonOf(mine.get(info, call))).toBe('missing');
      await theirs.remove(info, call);
      const again = await stored(mine, 'x', bytesOf(mib, 2));
      await theirs.remove(info, call); // the old one: the new one of that name stays
      expect(sameBytes(await theirs.get(again, call), bytesOf(mib, 2))).toBe(true);
    });

    test('an object that nobody has put', async () => {
      const { mine } = open();
      expect(await mine.info('x', call)).toBeNull();
      const info = { name: 'x', nuid: 'n', bytes: 9, chunkCount: 1, digest: '' };
      expect(await reasonOf(mine.get(info, call))).toBe('missing');
      await mine.remove(info, call);
    });

    test.each([
      ['lose', 'missing'],
      ['truncate', 'truncated'],
      ['corrupt', 'corrupt'],
    ] as const)('%s: the reader says %s', async (how, reason) => {
      const { mine, theirs } = open();
      const info = await stored(mine, 'x', bytesOf(mib));
      await world.damage(how, mine.name, info);
      expect(await reasonOf(theirs.get(info, call))).toBe(reason);
      expect(await reasonOf(theirs.get(info, call))).toBe(reason);
    });

    test('an info that claims too much', async () => {
      const { mine } = open();
      const info = await stored(mine, 'x', bytesOf(mib));
      const claims = [{ chunkCount: 9 }, { chunkCount: 7 }, { bytes: mib + 1 }, { bytes: mib - 1 }];
      for (const claim of [...claims, { bytes: 2 ** 50 }]) {
        expect(await reasonOf(mine.get({ ...info, ...claim }, call))).toBe('truncated');
      }
    });

    test('time takes objects away; one that soon goes counts as gone if asked so', async () => {
      const { mine, theirs } = open({ ttlMs: 1500 });
      const info = await stored(mine, 'x', bytesOf(mib));
      expect(await theirs.info('x', call)).toEqual(info);
      const freshCall = { ...call, freshMs: 60_000 };
      expect(await theirs.info('x', freshCall)).toBeNull();
      const again = await mine.put('x', bytesOf(mib), freshCall);
      if (again.outcome !== 'stored') throw new Error(`put again: ${again.outcome}`);
      expect(again.info.nuid).not.toBe(info.nuid);
      expect(await theirs.info('x', call)).toEqual(again.info);
      const isGone = async () => (await theirs.info('x', call)) === null;
      await until(isGone, 'the object has expired');
      await until(async () => (await theirs.usedBytes(call)) === 0, 'its bytes have expired');
      expect(await reasonOf(theirs.get(again.info, call))).toBe('missing');
    });

    test('cancelled before and meanwhile', async () => {
      const { mine } = open();
      const info = await stored(mine, 'x', bytesOf(3 * mib));
      const gone = { ...call, signal: AbortSignal.abort() };
      expect(await reasonOf(mine.put('y', bytesOf(mib), gone))).toBe('cancelled');
      expect(await reasonOf(mine.get(info, gone))).toBe('cancelled');
      const going = new AbortController();
      const during = { ...call, signal: going.signal };
      const work = [
        mine.put('z', bytesOf(20 * mib), during),
        mine.get(info, during),
        mine.info('x', during),
      ].map(reasonOf);
      going.abort();
      expect(await Promise.all(work)).toEqual(['cancelled', 'cancelled', 'cancelled']);
      expect(await mine.info('z', call)).toBeNull();
      expect(sameBytes(await mine.get(info, call), bytesOf(3 * mib))).toBe(true);
    });

    test('nobody answers: every call ends at its deadline', async () => {
      const { mine } = open();
      const info = await stored(mine, 'x', bytesOf(3 * mib));
      const short = { timeoutMs: 50 };
      world.silence();
      try {
        const work = [
          mine.put('y', bytesOf(3 * mib), short),
          mine.info('x', short),
          mine.get(info, short),
          mine.remove(info, short),
          mine.usedBytes(short),
        ].map(reasonOf);
        expect(await Promise.all(work)).toEqual(Array(5).fill('timeout'));
      } finally {
        world.speak();
      }
      expect((await mine.put('y', bytesOf(3 * mib), call)).outcome).not.toBe('full');
    });

    test('names that cannot be', async () => {
      const { mine } = open();
      await expect(mine.put('', bytesOf(1), call)).rejects.toThrow('without a name');
      const wrong = one.bucket({ ...bucketOptions(), name: 'a.b' });
      await expect(wrong.put('x', bytesOf(1), call)).rejects.toThrow('wanted letters');
    });

    test('closed: nothing goes on', async () => {
      const store = world.open();
      const bucket = store.bucket(bucketOptions());
      await bucket.put('x', bytesOf(1), call);
      await store.close();
      expect(await reasonOf(bucket.info('x', call))).toBe('unreachable');
      expect(store.trouble()).toContain('closed');
    });
  });
}
