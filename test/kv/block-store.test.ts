import { describe, expect, test } from 'bun:test';
import { BlockStore } from '../../src/kv/block-store.ts';
import { seededChance } from '../../src/std/prng.ts';

/** Takes a block, publishes it, and returns its index. */
function fill(store: BlockStore, requestId: string, hash: string): number {
  const taken = store.take(requestId, hash);
  if (taken === null) throw new Error('no room');
  store.publish(taken.index);
  return taken.index;
}

/** A prompt of so many blocks, done with: its blocks are cached. */
function leave(store: BlockStore, name: string, count: number): void {
  for (let i = 0; i < count; i++) fill(store, name, `${name}${i}`);
  store.release(name);
}

const found = (store: BlockStore, ...hashes: string[]): string[] =>
  hashes.filter((hash) => store.find(hash) !== null);

describe('BlockStore', () => {
  test('free → held → leased → cached → held again', () => {
    const store = new BlockStore(2, { keeps: true });
    const index = fill(store, 'a', 'x');
    expect(store.counts()).toEqual({ free: 1, held: 1, leased: 0, cached: 0 });
    store.offer('a', 50);
    expect(store.counts()).toEqual({ free: 1, held: 0, leased: 1, cached: 0 });
    expect(store.release('a')).toBe(1);
    expect(store.counts()).toEqual({ free: 1, held: 0, leased: 0, cached: 1 });
    expect(store.find('x')?.index).toBe(index);
    store.hold('b', index);
    expect(store.counts()).toEqual({ free: 1, held: 1, leased: 0, cached: 0 });
    expect(store.release('b')).toBe(1);
    expect([store.release('b'), store.release('stranger')]).toEqual([0, 0]);
  });

  test('a block that was never published is free again, and not found', () => {
    const store = new BlockStore(1, { keeps: true });
    store.take('a', 'x');
    expect(store.find('x')).toBeNull();
    store.release('a');
    expect(store.counts()).toEqual({ free: 1, held: 0, leased: 0, cached: 0 });
  });

  test('two holders of one block: it is in use until the last lets go', () => {
    const store = new BlockStore(1, { keeps: true });
    const index = fill(store, 'a', 'x');
    store.hold('b', index);
    store.offer('a', 10);
    expect(store.counts()).toEqual({ free: 0, held: 0, leased: 1, cached: 0 });
    expect(store.take('c', 'y')).toBeNull();
    store.release('a');
    expect(store.counts()).toEqual({ free: 0, held: 1, leased: 0, cached: 0 });
    expect(store.take('c', 'y')).toBeNull();
    store.release('b');
    expect(store.take('c', 'y')?.index).toBe(index);
    expect(store.find('x')).toBeNull();
  });

  test('least recently used first, and of one prompt the tail before its head', () => {
    const store = new BlockStore(6, { keeps: true });
    leave(store, 'a', 3);
    leave(store, 'b', 3);
    const order: string[][] = [];
    for (let i = 0; i < 6; i++) {
      store.take('new', `n${i}`);
      order.push(found(store, 'a0', 'a1', 'a2', 'b0', 'b1', 'b2'));
    }
    expect(order.map((left) => left.join(' '))).toEqual([
      'a0 a1 b0 b1 b2',
      'a0 b0 b1 b2',
      'b0 b1 b2',
      'b0 b1',
      'b0',
      '',
    ]);
  });

  test('use makes recent: by touch, and by holding', () => {
    const store = new BlockStore(3, { keeps: true });
    for (const name of ['a', 'b', 'c']) leave(store, name, 1);
    store.touch(store.find('a0')?.index ?? -1);
    store.hold('x', store.find('b0')?.index ?? -1);
    store.release('x');
    const gone: string[] = [];
    for (let i = 0; i < 3; i++) {
      const before = found(store, 'a0', 'b0', 'c0');
      store.take('new', `n${i}`);
      gone.push(...before.filter((hash) => store.find(hash) === null));
    }
    expect(gone).toEqual(['c0', 'a0', 'b0']);
  });

  test('touching a block in use does not make it evictable', () => {
    const store = new BlockStore(1, { keeps: true });
    store.touch(fill(store, 'a', 'x'));
    expect(store.take('b', 'y')).toBeNull();
  });

  test('the same name twice: one is found, the other is free when its holder is done', () => {
    const store = new BlockStore(3, { keeps: true });
    const first = fill(store, 'a', 'x');
    const second = store.take('b', 'x');
    expect(second === null || store.publish(second.index)).toBeFalse();
    expect(store.find('x')?.index).toBe(first);
    store.release('b');
    expect(store.counts()).toEqual({ free: 2, held: 1, leased: 0, cached: 0 });
    store.release('a');
    expect(store.find('x')?.index).toBe(first);
  });

  test('keeps: false never caches and never finds', () => {
    const store = new BlockStore(2, { keeps: false });
    const index = fill(store, 'a', 'x');
    expect([store.find('x'), store.hashes(9), store.version]).toEqual([null, [], 0]);
    store.release('a');
    expect(store.counts()).toEqual({ free: 2, held: 0, leased: 0, cached: 0 });
    expect(() => store.hold('b', index)).toThrow('before its content is there');
  });

  test('leases end at their deadline, each by itself', () => {
    const store = new BlockStore(3, { keeps: true });
    for (const [name, deadlineMs] of [
      ['a', 100],
      ['b', 200],
    ] as const) {
      fill(store, name, name);
      store.offer(name, deadlineMs);
    }
    fill(store, 'held', 'h');
    expect(store.expire(99)).toEqual([]);
    expect(store.expire(100)).toEqual(['a']);
    expect(store.counts()).toEqual({ free: 0, held: 1, leased: 1, cached: 1 });
    expect(store.expire(10_000)).toEqual(['b']);
    expect(store.expire(10_000)).toEqual([]);
    expect(store.counts()).toEqual({ free: 0, held: 1, leased: 0, cached: 2 });
  });

  test('idle: a block that somebody still writes is a bug, a leased one is not', () => {
    const store = new BlockStore(3, { keeps: true });
    store.assertIdle();
    store.take('a', 'one');
    expect(() => store.assertIdle()).toThrow('2 free + 1 held + 0 leased + 0 cached blocks');
    store.offer('a', 10);
    store.assertIdle();
    store.release('a');
    store.assertIdle();
  });

  test('after its offer a request takes nothing more', () => {
    const store = new BlockStore(2, { keeps: true });
    fill(store, 'a', 'x');
    store.offer('a', 5);
    expect(() => store.take('a', 'y')).toThrow('after its offer');
    expect(store.offer('nobody', 5)).toBeUndefined();
  });

  test('hashes: those in use, then the latest used, as many as asked for', () => {
    const store = new BlockStore(4, { keeps: true });
    for (const name of ['a', 'b', 'c']) leave(store, name, 1);
    fill(store, 'd', 'd0');
    expect(store.hashes(9)).toEqual(['d0', 'c0', 'b0', 'a0']);
    expect(store.hashes(2)).toEqual(['d0', 'c0']);
    expect(store.hashes(0)).toEqual([]);
  });

  test('the version rises when what can be found changes, and only then', () => {
    const store = new BlockStore(1, { keeps: true });
    leave(store, 'a', 1);
    expect(store.version).toBe(1);
    store.touch(0);
    store.hold('b', 0);
    store.release('b');
    expect(store.version).toBe(1);
    store.take('c', 'x');
    expect(store.version).toBe(2);
  });
});

/** What a plain list of everybody's blocks says about the store after each operation. */
class Model {
  /** Request → its blocks, and whether it has offered them. */
  readonly holders = new Map<string, { blocks: number[]; deadlineMs: number | null }>();
  /** Index → its published name. */
  readonly names = new Map<number, string>();

  isHeld(index: number): boolean {
    return [...this.holders.values()].some(({ blocks }) => blocks.includes(index));
  }

  check(store: BlockStore, total: number): void {
    const all = Array.from({ length: total }, (_, i) => i);
    const inUse = all.filter((index) => this.isHeld(index));
    const leased = inUse.filter((index) =>
      [...this.holders.values()].some((h) => h.deadlineMs !== null && h.blocks.includes(index)),
    );
    const cached = all.filter((index) => !this.isHeld(index) && this.names.has(index));
    const counts = store.counts();
    expect(counts).toEqual({
      free: total - inUse.length - cached.length,
      held: inUse.length - leased.length,
      leased: leased.length,
      cached: cached.length,
    });
    expect(counts.free + counts.held + counts.leased + counts.cached).toBe(total);
    for (const [index, name] of this.names) expect(store.find(name)?.index).toBe(index);
    expect(store.hashes(total).sort()).toEqual([...this.names.values()].sort());
  }
}

describe('any order of operations', () => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    test(`seed ${seed}: no block in two states, none lost, none taken from its holder`, () => {
      const chance = seededChance(seed);
      const below = (count: number): number => chance.u32() % count;
      const total = 1 + below(12);
      const keeps = seed % 3 !== 0;
      const model = new Model();
      const onEvict = (index: number): void => {
        expect(model.isHeld(index)).toBeFalse();
        expect(model.names.delete(index)).toBeTrue(); // only what could be found is told of
      };
      const store = new BlockStore(total, { keeps, onEvict });
      const generations = new Array<number>(total).fill(0);
      for (let now = 0; now < 3000; now++) {
        const requestId = `r${below(6)}`;
        const holder = model.holders.get(requestId);
        const action = below(10);
        if (action < 4 && (holder?.deadlineMs ?? null) === null) {
          take(requestId, `h${below(20)}`);
        } else if (action < 6 && holder !== undefined) {
          holder.deadlineMs = now + below(40);
          store.offer(requestId, holder.deadlineMs);
        } else if (action < 8) {
          expect(store.release(requestId)).toBe(holder?.blocks.length ?? 0);
          model.holders.delete(requestId);
        } else {
          const late = store.expire(now);
          for (const [name, { deadlineMs }] of model.holders) {
            expect(late.includes(name)).toBe(deadlineMs !== null && deadlineMs <= now);
          }
          for (const name of late) model.holders.delete(name);
        }
        model.check(store, total);
      }
      expect(Math.max(...generations)).toBeGreaterThan(20);

      function take(requestId: string, hash: string): void {
        const holder = model.holders.get(requestId) ?? { blocks: [], deadlineMs: null };
        const known = store.find(hash);
        if (known !== null) {
          store.hold(requestId, known.index);
          holder.blocks.push(known.index);
          model.holders.set(requestId, holder);
          return;
        }
        const isFull = store.counts().free + store.counts().cached === 0;
        const taken = store.take(requestId, hash);
        expect(taken === null).toBe(isFull);
        if (taken === null) return;
        expect(model.isHeld(taken.index)).toBeFalse();
        expect(taken.generation).toBe((generations[taken.index] ?? 0) + 1);
        generations[taken.index] = taken.generation;
        holder.blocks.push(taken.index);
        model.holders.set(requestId, holder);
        if (below(4) > 0 && store.publish(taken.index)) model.names.set(taken.index, hash);
      }
    });
  }
});
