import { afterEach, describe, expect, test } from 'bun:test';
import { blockBegin } from '../../src/kv/arena.ts';
import { blockHeaderBytes } from '../../src/kv/block.ts';
import { tokenBytes } from '../../src/kv/geometry.ts';
import { KvPool } from '../../src/kv/pool.ts';
import { PrefixCache } from '../../src/kv/prefix-cache.ts';
import { kvDtypes } from '../../src/protocol/kv-size.ts';
import { realChance } from '../../src/std/prng.ts';
import { CacheWorld } from './cache-world.ts';
import {
  capacity,
  errorShare,
  fillRows,
  geometry,
  kv,
  largest,
  largestDifference,
  promptOf,
  readRows,
} from './pool-rows.ts';

const worlds: CacheWorld[] = [];
afterEach(() => {
  for (const world of worlds.splice(0)) world.close();
});

const anyKind = (): string => realChance.id();

function make(options: ConstructorParameters<typeof CacheWorld>[0]): CacheWorld {
  const world = new CacheWorld(options);
  worlds.push(world);
  return world;
}

/** Two workers that share blocks and know each other. */
function pair(options: { blocks?: number } = {}): [CacheWorld, CacheWorld] {
  const kind = anyKind();
  const [a, b] = [make({ kind, ...options }), make({ kind, ...options })];
  for (const { peers } of [a, b]) peers.sweep();
  return [a, b];
}

/** Full blocks that can be known of a prompt: never its last token. */
const usable = (length: number): number => Math.floor((length - 1) / 64) * 64;

describe('restore', () => {
  for (const length of [1, 2, 63, 64, 65, 127, 128, 129, 200, 255]) {
    for (const from of ['own', 'peer'] as const) {
      test(`a prompt of ${length}, out of ${from} arena: full blocks, not the last token`, () => {
        const [writer, other] = pair();
        const reader = from === 'own' ? writer : other;
        const ids = promptOf(length);
        writer.keep(ids);
        const rows = readRows(writer.pool, 0, usable(length));
        expect(reader.restore(ids)).toBe(usable(length));
        expect(readRows(reader.pool, 1, usable(length))).toEqual(rows); // to the bit
        // A longer prompt with this beginning takes all full blocks of it.
        const longer = [...ids, 5, 6];
        expect(reader.restore(longer)).toBe(Math.floor(length / 64) * 64);
      });
    }
  }

  test('as far as the beginnings agree', () => {
    const [world] = pair();
    const ids = promptOf(200);
    world.keep(ids);
    for (const [at, known] of [
      [0, 0],
      [63, 0],
      [64, 64],
      [130, 128],
      [199, 192],
    ] as const) {
      expect(world.restore(ids.with(at, 999))).toBe(known);
    }
  });

  test('only to who has the salt', () => {
    const [world, other] = pair();
    const ids = promptOf(130);
    fillRows(world.pool, 0, ids.length, 1000);
    world.cache.keep({ ids, salt: 'mine', slot: 0, computed: ids.length });
    for (const { cache } of [world, other]) {
      expect(cache.restore({ ids, salt: 'mine', slot: 1 })).toBe(128);
      expect(cache.restore({ ids, salt: 'yours', slot: 1 })).toBe(0);
      expect(cache.restore({ ids, slot: 1 })).toBe(0);
    }
  });

  test('partly own, partly a peer’s', () => {
    const [a, b] = pair();
    const ids = promptOf(250);
    a.keep(ids, { computed: 70 });
    b.keep(ids, { computed: 200 });
    expect(b.own.store.counts().cached).toBe(2); // the first is a's
    const rows = readRows(b.pool, 0, 192);
    for (const world of [a, b]) {
      expect(world.restore(ids)).toBe(192);
      expect(readRows(world.pool, 1, 192)).toEqual(rows);
    }
  });

  test('a damaged block in the middle ends it there', () => {
    const [a, b] = pair();
    const ids = promptOf(250);
    a.keep(ids);
    const second = a.own.store.hashes(9).length;
    expect(second).toBe(3);
    const { view } = a.own.arena;
    // Kept in this order into an empty arena: block 1 is the second.
    const at = blockBegin(view, 1) + blockHeaderBytes + 5;
    for (const world of [a, b]) expect(world.restore(ids)).toBe(192);
    view.bytes[at] = (view.bytes[at] ?? 0) ^ 1;
    for (const world of [a, b]) expect(world.restore(ids)).toBe(64);
    view.bytes[at] = (view.bytes[at] ?? 0) ^ 1;
    for (const world of [a, b]) expect(world.restore(ids)).toBe(192);
  });

  test('a block that is damaged at one is taken from the next who has it, own or not', () => {
    const kind = anyKind();
    const first = make({ kind });
    const worlds = [first, make({ kind }), make({ kind })];
    const ids = promptOf(130);
    for (const world of worlds.slice(0, 2)) world.keep(ids); // nobody knows the others yet
    for (const world of worlds) world.peers.sweep();
    const flip = (world: CacheWorld | undefined): void => {
      if (world === undefined) return;
      const { view } = world.own.arena;
      const at = blockBegin(view, 0) + blockHeaderBytes + 5;
      view.bytes[at] = (view.bytes[at] ?? 0) ^ 1;
    };
    const known = (): number[] => worlds.map((world) => world.restore(ids));
    const rows = readRows(first.pool, 0, 128);
    for (const damaged of [0, 1]) {
      flip(worlds[damaged]);
      expect(known()).toEqual([128, 128, 128]);
      for (const { pool } of worlds) expect(readRows(pool, 1, 128)).toEqual(rows);
      flip(worlds[damaged]);
    }
    for (const damaged of [0, 1]) flip(worlds[damaged]);
    expect(known()).toEqual([0, 0, 0]);
  });

  for (const dtype of kvDtypes) {
    for (const from of ['own', 'peer'] as const) {
      test(`${dtype}, out of ${from} arena: what the codec makes of it`, () => {
        const kind = anyKind();
        const [writer, other] = [make({ kind, dtype }), make({ kind, dtype })];
        other.peers.sweep();
        const reader = from === 'own' ? writer : other;
        const ids = promptOf(200);
        writer.keep(ids);
        expect(reader.restore(ids)).toBe(192);
        const [rows, found] = [readRows(writer.pool, 0, 192), readRows(reader.pool, 1, 192)];
        expect(largestDifference(rows, found)).toBeLessThanOrEqual(
          errorShare[dtype] * largest(rows),
        );
        if (dtype !== 'float32') expect(found).not.toEqual(rows);
      });
    }
  }

  test('blocks of another dtype are none, even in an arena that claims to be of our kind', () => {
    const kind = anyKind();
    const ids = promptOf(200);
    const worlds = kvDtypes.map((dtype) => make({ kind, dtype }));
    const [writer] = worlds;
    writer?.keep(ids);
    for (const world of worlds) world.peers.sweep();
    expect(worlds.map((world) => world.restore(ids))).toEqual([192, 0, 0, 0, 0]);
  });

  test('a block that its owner reuses between the look and the read, and during the copy', () => {
    const [a, b] = pair({ blocks: 1 });
    const ids = promptOf(100);
    const other = promptOf(100, 9);
    const pool = new InterruptedPool(geometry, { slots: 2, capacity });
    const { own, peers } = b;
    const cache = new PrefixCache({ own, peers, pool, kv });
    a.keep(ids);
    expect(cache.restore({ ids, slot: 1 })).toBe(64);
    pool.afterCopy = () => a.keep(other);
    expect(cache.restore({ ids, slot: 1 })).toBe(0);
    pool.afterCopy = () => undefined;
    expect(cache.restore({ ids, slot: 1 })).toBe(0); // gone for good
    expect(cache.restore({ ids: other, slot: 1 })).toBe(64);
    // Rewritten with the very same content: its generation tells.
    pool.afterCopy = () => {
      a.keep(ids);
      a.keep(other);
    };
    expect(cache.restore({ ids: other, slot: 1 })).toBe(0);
    pool.close();
  });

  test('a key that leads to another block: not found, and nothing wrong', () => {
    const [a, b] = pair();
    const [ids, other] = [promptOf(100), promptOf(100, 4)];
    a.keep(ids);
    a.keep(other);
    const { table, version } = a.own.arena.view;
    const [first = 0n, second = 0n] = table;
    for (const keys of [
      [second, first],
      [0n, first],
      [first + 1n, second],
      [first, 0xffff_ffff_ffff_ffffn],
    ]) {
      table.set(keys);
      version[0] = (version[0] ?? 0) + 1;
      for (const one of [ids, other]) {
        const known = b.restore(one);
        const isRight = one === ids ? keys[0] === first : keys[1] === second;
        expect(known).toBe(isRight ? 64 : 0);
      }
    }
  });
});

/** A reader's pool that lets something happen right after each copy into it. */
class InterruptedPool extends KvPool {
  afterCopy: () => void = () => undefined;

  override copyRows(...args: Parameters<KvPool['copyRows']>): void {
    super.copyRows(...args);
    if (args[0] === 'in') this.afterCopy();
  }
}

describe('keep', () => {
  test('full blocks only, and only what is computed', () => {
    const world = make({ kind: anyKind() });
    const ids = promptOf(200);
    for (const [computed, cached] of [
      [0, 0],
      [63, 0],
      [64, 1],
      [127, 1],
      [128, 2],
      [200, 3],
    ] as const) {
      world.keep(ids, { computed });
      expect(world.own.store.counts()).toEqual({ free: 8 - cached, held: 0, leased: 0, cached });
    }
  });

  test('twice writes nothing; nor does what a peer has', () => {
    const [a, b] = pair();
    const ids = promptOf(200);
    a.keep(ids);
    const generations = [0, 1, 2].map((i) => a.own.store.find(a.own.store.hashes(9)[i] ?? ''));
    a.keep(ids);
    const { version } = a.own.store;
    expect([0, 1, 2].map((i) => a.own.store.find(a.own.store.hashes(9)[i] ?? ''))).toEqual(
      generations,
    );
    b.keep(ids);
    expect(b.own.store.counts()).toEqual({ free: 8, held: 0, leased: 0, cached: 0 });
    b.keep([...ids, ...promptOf(20, 2)].slice(0, 210));
    expect(b.own.store.counts().cached).toBe(0);
    expect(a.own.store.version).toBe(version);
  });

  test('is bounded by the arena: the least recent goes, of a prompt its tail first', () => {
    const world = make({ kind: anyKind(), blocks: 4 });
    const prompts = [1, 2, 3].map((salt) => promptOf(130, salt));
    for (const ids of prompts) world.keep(ids);
    expect(world.own.store.counts()).toEqual({ free: 0, held: 0, leased: 0, cached: 4 });
    expect(prompts.map((ids) => world.restore(ids))).toEqual([0, 128, 128]);
    world.keep(promptOf(70, 4));
    // The second was used before the third: its tail goes first, its head stays of use.
    expect(prompts.map((ids) => world.restore(ids))).toEqual([0, 64, 128]);
  });

  test('a prompt restored stays, tail first to go', () => {
    const world = make({ kind: anyKind(), blocks: 3 });
    const ids = promptOf(193);
    world.keep(ids);
    expect(world.restore(ids)).toBe(192);
    world.keep(promptOf(64, 5));
    expect(world.restore(ids)).toBe(128);
    world.keep(promptOf(64, 6));
    expect(world.restore(ids)).toBe(128); // the one of salt 5 was older
    world.keep(promptOf(128, 7));
    expect(world.restore(ids)).toBe(64);
  });

  test('a prompt larger than the arena leaves its beginning', () => {
    const world = make({ kind: anyKind(), blocks: 2 });
    const ids = promptOf(250);
    world.keep(ids);
    expect(world.restore(ids)).toBe(128);
    expect(world.own.store.counts()).toEqual({ free: 0, held: 0, leased: 0, cached: 2 });
  });

  test('where requests hold every block nothing is kept, and nothing is taken from them', () => {
    const world = make({ kind: anyKind(), blocks: 2 });
    for (const hash of ['aa', 'bb']) world.own.store.take('busy', hash.repeat(32));
    world.keep(promptOf(130));
    expect(world.own.store.counts()).toEqual({ free: 0, held: 2, leased: 0, cached: 0 });
    world.own.store.release('busy');
    world.keep(promptOf(130));
    expect(world.restore(promptOf(130))).toBe(128);
  });

  test('an arena that keeps nothing: nothing is known', () => {
    const world = make({ kind: anyKind(), keeps: false });
    world.keep(promptOf(200));
    expect(world.restore(promptOf(200))).toBe(0);
    expect(world.own.store.counts().free).toBe(8);
    expect(world.own.arena.view.table.every((key) => key === 0n)).toBeTrue();
  });

  test('the rows of the block are the slot’s, whatever else is in it', () => {
    const world = make({ kind: anyKind() });
    const ids = promptOf(128);
    world.keep(ids, { salt: 4000 });
    const { view } = world.own.arena;
    const begin = blockBegin(view, 0) + blockHeaderBytes;
    const floats = new Float32Array(
      view.bytes.slice(begin, begin + 64 * tokenBytes(geometry)).buffer,
    );
    const rows = readRows(world.pool, 0, 64);
    expect<Float32Array>(floats).toEqual(rows);
  });
});
