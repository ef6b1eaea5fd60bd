// The contract of KV's way from a context to a generate worker: whichever path it takes, what was computed
// there stands in the slot here, and whoever gives up leaves nothing behind.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { blockHeaderBytes } from '../../src/kv/block.ts';
import { kvBucketName } from '../../src/kv/object-name.ts';
import type { ObjectStore } from '../../src/plane/object-store.ts';
import { kvDtypes, kvPayloadBytes } from '../../src/protocol/kv-size.ts';
import { limit } from '../../src/protocol/limit.ts';
import type { ObjectBlock } from '../../src/protocol/ticket.ts';
import { realClock } from '../../src/std/clock.ts';
import { realChance } from '../../src/std/prng.ts';
import {
  errorShare,
  fillRows,
  geometry,
  largest,
  largestDifference,
  modelDigest,
  promptOf,
  readRows,
} from '../kv/pool-rows.ts';
import {
  memoryObjectWorld,
  natsObjectWorld,
  type ObjectWorld,
  until,
} from '../plane/object-world.ts';
import { type EndOptions, Reader, WatchedClock, Writer } from './kv-world.ts';

type Body = { readonly name: string; readonly path: 'shm' | 'object'; readonly world: ObjectWorld };

const bodies: readonly Body[] = [
  { name: 'shared memory', path: 'shm', world: memoryObjectWorld() },
  { name: 'object store in memory', path: 'object', world: memoryObjectWorld() },
  { name: 'object store of NATS', path: 'object', world: natsObjectWorld() },
];

const { blockTokens } = geometry;

for (const { name, path, world } of bodies) {
  describe(`KV transfer contract: ${name}`, () => {
    const clock = new WatchedClock(realClock);
    const ends: (Writer | Reader)[] = [];
    let store: ObjectStore;
    let namespace = '';

    const options = (change: Partial<EndOptions> = {}): EndOptions => ({
      path,
      clock,
      namespace,
      // One connection for all: closing it is not theirs.
      openStore: () => ({
        trouble: () => store.trouble(),
        bucket: (what) => store.bucket(what),
        close: async () => undefined,
      }),
      ...change,
    });
    const pair = (change: Partial<EndOptions> & { blocks?: number; slots?: number } = {}) => {
      const { blocks = 16, slots = 2, ...rest } = change;
      const writer = new Writer({ ...options(rest), blocks });
      const reader = new Reader({ ...options(rest), slots });
      ends.push(writer, reader);
      return { writer, reader };
    };
    /** A whole hand-over, chunk by chunk, announcements as they come. */
    const handOver = async (
      { writer, reader }: { writer: Writer; reader: Reader },
      what: { ids: readonly number[]; id?: string; heldTokens?: number; slot?: number },
    ): Promise<number> => {
      const { ids, id = 'r', heldTokens = 0, slot = 0 } = what;
      reader.begin(id, ids, { heldTokens, slot });
      writer.begin(id, ids, { heldTokens, tell: (blocks) => reader.announce(id, blocks) });
      for (let at = 100; at < ids.length; at += 100) {
        writer.compute(id, at);
        await turn();
      }
      writer.compute(id, ids.length);
      const bytes = await reader.finish(id, await writer.offer(id));
      expect(reader.computedOf(id)).toBe(path === 'shm' ? heldTokens : ids.length);
      return bytes;
    };
    const finished = ({ writer, reader }: { writer: Writer; reader: Reader }, id = 'r'): void => {
      writer.end(id);
      reader.end(id);
    };
    const same = (one: Writer, other: Reader, tokens: number, slot = 0): void => {
      expect(readRows(other.pool, slot, tokens)).toEqual(readRows(one.pool, 0, tokens));
    };

    beforeAll(async () => {
      await world.start();
      store = world.open();
    });

    beforeEach(() => {
      namespace = `test-${realChance.id()}`;
    });

    afterEach(async () => {
      for (const end of ends) {
        if (end instanceof Writer) {
          expect(end.own.store.counts()).toMatchObject({ held: 0, leased: 0 });
        }
        await end.close();
      }
      ends.splice(0);
      await until(async () => clock.pendingCount === 0, 'no timer is left', 2000);
      const bucket = kvBucketName({ namespace, modelDigest, dtype: 'float32' });
      const isClean = async () => (await world.leftovers(bucket).catch(() => [])).length === 0; // never made
      await until(isClean, `bucket ${bucket} is clean`, 2500);
    });

    afterAll(async () => {
      await store.close();
      await world.end();
    });

    test.each([1, 63, 64, 65, 200, 513])('a prompt of %d tokens arrives as it was', async (n) => {
      const both = pair();
      await handOver(both, { ids: promptOf(n) });
      same(both.writer, both.reader, n);
      finished(both);
    });

    test.each([...kvDtypes])('%s', async (dtype) => {
      const both = pair({ dtype });
      await handOver(both, { ids: promptOf(200) });
      const left = readRows(both.writer.pool, 0, 200);
      const most = errorShare[dtype] * largest(left);
      expect(largestDifference(left, readRows(both.reader.pool, 0, 200))).toBeLessThanOrEqual(most);
      finished(both);
    });

    test('what the reader holds does not travel', async () => {
      const both = pair();
      const ids = promptOf(200);
      const told: number[] = [];
      both.writer.begin('other', ids, {
        heldTokens: 128,
        tell: (blocks) => told.push(...blocks.map((block) => block.firstPosition)),
      });
      both.writer.compute('other', 200);
      const ticket = await both.writer.offer('other');
      await turn();
      both.writer.end('other');
      const bytes = await handOver(both, { ids, heldTokens: 128 });
      same(both.writer, both.reader, 200);
      if (ticket.kind === 'shm') {
        expect(bytes).toBe(kvPayloadBytes('float32', geometry, 72));
      } else {
        expect(ticket.blocks.map((block) => block.firstPosition)).toEqual([128, 192]);
        expect(told.sort()).toEqual([128, 192]);
        expect(both.reader.blockCount).toBe(2);
      }
      finished(both);
    });

    test('of two requests with one beginning the second sends only its own rest', async () => {
      const both = pair();
      const ids = promptOf(513);
      await handOver(both, { ids: ids.slice(0, 200), id: 'a' });
      expect(both.writer.paths.send[path].savedBytes()).toBe(0);
      await handOver(both, { ids, id: 'b', slot: 1 });
      same(both.writer, both.reader, 513, 1);
      // The 8 tokens behind position 192 are another block than the 64 there.
      const saved = path === 'shm' ? 0 : 3 * frameOfBlock();
      expect(both.writer.paths.send[path].savedBytes()).toBe(saved);
      finished(both, 'a');
      finished(both, 'b');
    });

    test('at the same moment, too', async () => {
      const both = pair();
      const ids = promptOf(256);
      for (const id of ['a', 'b']) {
        both.reader.begin(id, ids, { slot: id === 'a' ? 0 : 1 });
        both.writer.begin(id, ids);
        both.writer.compute(id, 256);
      }
      const tickets = await Promise.all([both.writer.offer('a'), both.writer.offer('b')]);
      const [a, b] = tickets;
      if (a === undefined || b === undefined) throw new Error('two tickets');
      await Promise.all([both.reader.finish('a', a), both.reader.finish('b', b)]);
      same(both.writer, both.reader, 256, 0);
      same(both.writer, both.reader, 256, 1);
      const saved = path === 'shm' ? 0 : 4 * frameOfBlock();
      expect(both.writer.paths.send[path].savedBytes()).toBe(saved);
      finished(both, 'a');
      finished(both, 'b');
    });

    const mischief: Record<string, (blocks: readonly ObjectBlock[]) => readonly ObjectBlock[]> = {
      'all lost': () => [],
      'the first lost': (blocks) => blocks.filter((block) => block.firstPosition > 0),
      'every other lost': (blocks) => blocks.filter((block) => (block.firstPosition / 64) % 2 > 0),
      twice: (blocks) => [...blocks, ...blocks],
      'last first': (blocks) => [...blocks].reverse(),
      'with begins that no block has': (blocks) =>
        blocks.flatMap((block) => [
          { ...block, firstPosition: block.firstPosition + 1 },
          { ...block, firstPosition: block.firstPosition + 63 },
          block,
        ]),
    };
    for (const [how, change] of Object.entries(mischief)) {
      test(`announcements: ${how}`, async () => {
        const both = pair();
        const ids = promptOf(513);
        const told: ObjectBlock[] = [];
        both.reader.begin('r', ids);
        both.writer.begin('r', ids, { tell: (blocks) => told.push(...blocks) });
        both.writer.compute('r', 513);
        const ticket = await both.writer.offer('r');
        await turn();
        for (const block of change(told)) both.reader.announce('r', [block]);
        await turn();
        await both.reader.finish('r', ticket);
        same(both.writer, both.reader, 513);
        for (const block of change(told)) both.reader.announce('r', [block]); // and late
        finished(both);
        for (const block of change(told)) both.reader.announce('r', [block]);
      });
    }

    test('blocks arrive while the rest is still to be computed', async () => {
      const both = pair();
      const ids = promptOf(200);
      both.reader.begin('r', ids);
      both.writer.begin('r', ids, { tell: (blocks) => both.reader.announce('r', blocks) });
      both.writer.compute('r', 130);
      if (path === 'object') {
        await until(async () => both.reader.computedOf('r') === 128, 'two blocks are there');
      }
      both.writer.compute('r', 200);
      await both.reader.finish('r', await both.writer.offer('r'));
      same(both.writer, both.reader, 200);
      finished(both);
    });

    const moments = ['begun', 'half staged', 'all staged', 'offering', 'finishing'] as const;
    for (const moment of moments) {
      test(`ended when ${moment}, often: nothing is left, and others are served`, async () => {
        const both = pair({ blocks: 64 });
        // More than there are lanes, each with blocks of its own.
        for (let i = 0; i < 2 * limit.objectLaneMax; i++) {
          const id = `r${i}`;
          const ids = promptOf(300, i + 1);
          both.reader.begin(id, ids);
          both.writer.begin(id, ids, { tell: (blocks) => both.reader.announce(id, blocks) });
          if (moment !== 'begun') both.writer.compute(id, moment === 'half staged' ? 150 : 300);
          if (moment === 'offering' || moment === 'finishing') {
            const offering = both.writer.offer(id);
            offering.catch(() => undefined);
            if (moment === 'finishing') {
              const finishing = both.reader.finish(id, await offering);
              finishing.catch(() => undefined);
            }
          }
          finished(both, id);
        }
        await until(async () => clock.pendingCount === 0, 'no timer is left', 2000);
        await handOver(both, { ids: promptOf(513) });
        same(both.writer, both.reader, 513);
        finished(both);
        finished(both, 'unknown');
      });
    }

    test('the same name again after its end', async () => {
      const both = pair();
      const ids = promptOf(300);
      both.reader.begin('r', ids);
      both.writer.begin('r', ids);
      both.writer.compute('r', 300);
      finished(both);
      await handOver(both, { ids: promptOf(200, 3) });
      same(both.writer, both.reader, 200);
      finished(both);
    });

    test('rows behind the prompt stay as they were', async () => {
      const both = pair();
      await handOver(both, { ids: promptOf(65) });
      const all = readRows(both.reader.pool, 0, 128);
      fillRows(both.reader.pool, 0, 128, 90_000);
      fillRows(both.reader.pool, 0, 65, 1000);
      expect(all).toEqual(readRows(both.reader.pool, 0, 128));
      finished(both);
    });
  });
}

function frameOfBlock(): number {
  return kvPayloadBytes('float32', geometry, blockTokens) + blockHeaderBytes;
}

async function turn(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}
