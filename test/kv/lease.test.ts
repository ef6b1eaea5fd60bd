import { describe, expect, test } from 'bun:test';
import { LeaseTable } from '../../src/kv/lease.ts';
import { seededChance } from '../../src/std/prng.ts';

describe('LeaseTable', () => {
  test('takes, offers, releases', () => {
    const table = new LeaseTable(3);
    expect(table.counts()).toEqual({ free: 3, held: 0, leased: 0 });
    const taken = [table.take('a'), table.take('a'), table.take('b')];
    expect(new Set(taken.map((block) => block?.index)).size).toBe(3);
    expect(table.take('b')).toBeNull();
    expect(table.counts()).toEqual({ free: 0, held: 3, leased: 0 });
    table.offer('a', 100);
    expect(table.counts()).toEqual({ free: 0, held: 1, leased: 2 });
    expect([table.release('a'), table.release('a'), table.release('stranger')]).toEqual([2, 0, 0]);
    expect(table.counts()).toEqual({ free: 2, held: 1, leased: 0 });
  });

  test('each use of a block has a higher generation, the first is 1', () => {
    const table = new LeaseTable(1);
    for (let generation = 1; generation < 50; generation++) {
      expect(table.take(`r${generation}`)).toEqual({ index: 0, generation });
      table.release(`r${generation}`);
    }
  });

  test('a lease ends at its deadline, not before; what is held has none', () => {
    const table = new LeaseTable(4);
    table.take('a');
    table.take('b');
    table.take('held');
    table.offer('a', 100);
    table.offer('b', 101);
    expect(table.expire(99)).toEqual([]);
    expect(table.expire(100)).toEqual(['a']);
    expect(table.expire(100)).toEqual([]);
    expect(table.expire(1e12)).toEqual(['b']);
    expect(table.counts()).toEqual({ free: 3, held: 1, leased: 0 });
  });

  test('offering nothing is harmless', () => {
    const table = new LeaseTable(1);
    table.offer('nobody', 5);
    expect([table.expire(10), table.counts().free]).toEqual([[], 1]);
  });

  test('taking after the offer is a bug, and costs no block', () => {
    const table = new LeaseTable(2);
    table.take('a');
    table.offer('a', 5);
    expect(() => table.take('a')).toThrow('after its offer');
    expect(table.counts()).toEqual({ free: 1, held: 0, leased: 1 });
  });

  for (const seed of [1, 2, 3, 4]) {
    test(`seed ${seed}: whatever happens, every block has one owner and one state`, () => {
      runWorld(seed);
    });
  }
});

type Lease = { readonly blocks: number[]; deadlineMs: number | null };

/** The table beside a plain model of it, over 5000 random acts. */
function runWorld(seed: number): void {
  const chance = seededChance(seed);
  const below = (count: number): number => chance.u32() % count;
  const blocks = 1 + below(12);
  const table = new LeaseTable(blocks);
  const leases = new Map<string, Lease>();
  const generations = new Array<number>(blocks).fill(0);
  const owned = (): number[] => [...leases.values()].flatMap((lease) => lease.blocks);
  for (let nowMs = 0; nowMs < 5000; nowMs++) {
    const name = `r${below(6)}`;
    const lease = leases.get(name);
    switch (below(4)) {
      case 0:
      case 1: {
        if (lease !== undefined && lease.deadlineMs !== null) break;
        const before = owned();
        const taken = table.take(name);
        expect(taken === null).toBe(before.length === blocks);
        if (taken === null) break;
        expect(before).not.toContain(taken.index);
        expect(taken.generation).toBe((generations[taken.index] ?? 0) + 1);
        generations[taken.index] = taken.generation;
        leases.set(name, { blocks: [...(lease?.blocks ?? []), taken.index], deadlineMs: null });
        break;
      }
      case 2:
        table.offer(name, nowMs + 20);
        if (lease !== undefined) lease.deadlineMs = nowMs + 20;
        break;
      default:
        expect(table.release(name)).toBe(lease?.blocks.length ?? 0);
        leases.delete(name);
    }
    const late = [...leases].filter(([, { deadlineMs }]) => (deadlineMs ?? 1e9) <= nowMs);
    expect(new Set(table.expire(nowMs))).toEqual(new Set(late.map(([id]) => id)));
    for (const [id] of late) leases.delete(id);
    const { free, held, leased } = table.counts();
    expect(free + held + leased).toBe(blocks);
    expect(held + leased).toBe(owned().length);
    const offered = [...leases.values()].filter(({ deadlineMs }) => deadlineMs !== null);
    expect(leased).toBe(offered.reduce((sum, one) => sum + one.blocks.length, 0));
  }
}
