import { afterAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import {
  blockCount,
  describeGeometry,
  rowBytes,
  sameGeometry,
  tokenBytes,
} from '../../src/kv/geometry.ts';
import { KvPool } from '../../src/kv/pool.ts';
import { mapAnonymousMemory, unmap, viewFloats } from '../../src/std/memory.ts';
import { capacity, fillRows, geometry, readRows } from './pool-rows.ts';

const pool = new KvPool(geometry, { slots: 4, capacity });
const bytesMax = capacity * tokenBytes(geometry);
const buffer = mapAnonymousMemory(bytesMax);
const packed = viewFloats(buffer.address, bytesMax / 4);
afterAll(() => {
  pool.close();
  unmap(buffer);
});

describe('geometry', () => {
  test('sizes', () => {
    expect([rowBytes(geometry), tokenBytes(geometry)]).toEqual([64, 3 * 2 * 2 * 64]);
    expect([0, 1, 63, 64, 65, 200].map((n) => blockCount(geometry, n))).toEqual([0, 1, 1, 1, 2, 4]);
    expect(describeGeometry(geometry)).toBe('3 layers × 2 heads × 16, blocks of 64');
  });

  test('each field makes a difference', () => {
    expect(sameGeometry(geometry, { ...geometry })).toBeTrue();
    for (const field of ['layers', 'kvHeads', 'headDim', 'blockTokens'] as const) {
      expect(sameGeometry(geometry, { ...geometry, [field]: 99 })).toBeFalse();
    }
  });
});

describe('KvPool', () => {
  test('slots lie side by side within a layer’s K or V, planes after each other', () => {
    const origin = pool.slotAddress(0, 0, 0);
    expect(pool.slotBytes).toBe(2 * capacity * 64);
    expect(pool.slotAddress(0, 0, 3) - origin).toBe(3 * pool.slotBytes);
    expect(pool.slotAddress(0, 1, 0) - origin).toBe(4 * pool.slotBytes);
    expect(pool.slotAddress(2, 1, 1) - origin).toBe((5 * 4 + 1) * pool.slotBytes);
    expect(() => pool.slotAddress(0, 0, 4)).toThrow('slot 4 of 4');
    expect(() => pool.slotAddress(0, 0, -1)).toThrow('slot -1 of 4');
  });

  for (const [first, count] of [
    [0, 1],
    [0, 64],
    [3, 1],
    [17, 29],
    [191, 65],
    [0, capacity],
    [5, 0],
  ] as const) {
    test(`rows ${first} + ${count} go out packed and come back in, and no other row moves`, () => {
      fillRows(pool, 1, capacity, 1000);
      fillRows(pool, 2, capacity, 50_000);
      const [source, before] = [readRows(pool, 1, capacity), readRows(pool, 2, capacity)];
      packed.fill(Number.NaN);
      pool.copyRows('out', { slot: 1, first, count }, buffer.address);
      const size = (count * tokenBytes(geometry)) / 4;
      expect(packed.subarray(0, size).some((value) => Number.isNaN(value))).toBeFalse();
      expect(packed.subarray(size).every((value) => Number.isNaN(value))).toBeTrue();
      expect<Float32Array>(packed.slice(0, size)).toEqual(cut(source, first, count));
      pool.copyRows('in', { slot: 2, first, count }, buffer.address);
      const wanted = before.slice();
      paste(wanted, source, first, count);
      expect(readRows(pool, 2, capacity)).toEqual(wanted);
      expect(readRows(pool, 1, capacity)).toEqual(source);
    });
  }

  test('rows beyond the capacity are a bug', () => {
    const rows = { slot: 0, first: capacity - 1, count: 2 };
    expect(() => pool.copyRows('out', rows, buffer.address)).toThrow('rows 255+2');
    expect(() => pool.copyRows('in', { ...rows, first: -1 }, buffer.address)).toThrow('rows -1+2');
  });

  for (const tokens of [0, 1, 63, 64, 65, 201, capacity]) {
    test(`a move takes ${tokens} rows along and touches nothing else`, () => {
      fillRows(pool, 0, capacity, 100);
      fillRows(pool, 2, capacity, 30_000);
      fillRows(pool, 3, capacity, 90_000);
      const [target, source, bystander] = [0, 3, 2].map((slot) => readRows(pool, slot, capacity));
      pool.moveSlot(3, 0, tokens);
      const wanted = target?.slice() ?? new Float32Array();
      paste(wanted, source ?? new Float32Array(), 0, tokens);
      expect(readRows(pool, 0, capacity)).toEqual(wanted);
      expect(readRows(pool, 3, capacity)).toEqual(source ?? new Float32Array());
      expect(readRows(pool, 2, capacity)).toEqual(bystander ?? new Float32Array());
    });
  }

  test('what a slot has touched counts once, its most, until it is forgotten', () => {
    const counted = new KvPool(geometry, { slots: 3, capacity });
    for (const [slot, tokens] of [
      [0, 10],
      [1, 20],
      [0, 5],
      [0, 12],
    ] as const) {
      counted.touch(slot, tokens);
    }
    expect(counted.residentTokens()).toBe(32);
    counted.forget(1, 20); // nothing beyond its 20
    counted.forget(1, 50);
    counted.forget(2, 0);
    expect(counted.residentTokens()).toBe(32);
    counted.forget(1, 7);
    expect(counted.residentTokens()).toBe(19);
    counted.forget(0, 0);
    counted.forget(0, 0);
    expect(counted.residentTokens()).toBe(7);
    counted.close();
  });

  for (const keep of [0, 1, 63, 64, 130, 255]) {
    test(`forgetting a slot from ${keep} on leaves its first rows and its neighbours alone`, () => {
      for (const slot of [0, 1, 2]) {
        fillRows(pool, slot, capacity, 1000 * (slot + 1));
        pool.touch(slot, capacity);
      }
      const before = [0, 1, 2].map((slot) => readRows(pool, slot, capacity));
      pool.forget(1, keep);
      expect(readRows(pool, 0, capacity)).toEqual(before[0] ?? new Float32Array());
      expect(readRows(pool, 2, capacity)).toEqual(before[2] ?? new Float32Array());
      const [kept, wanted] = [readRows(pool, 1, capacity), before[1] ?? new Float32Array()];
      expect(cut(kept, 0, keep)).toEqual(cut(wanted, 0, keep));
      // Whole pages of what was forgotten read as zeros; the slot can be used again at once.
      if (keep <= 130) expect(kept.filter((value) => value === 0).length).toBeGreaterThan(1000);
      fillRows(pool, 1, capacity, 7);
      pool.forget(3, 0);
      expect(readRows(pool, 1, 1)[0]).toBe(7);
    });
  }

  test('forgetting gives memory back', () => {
    const wide = { layers: 2, kvHeads: 2, headDim: 128, blockTokens: 64 };
    const large = new KvPool(wide, { slots: 2, capacity: 1 << 15 });
    const tokens = 1 << 14; // 4 KiB each: 64 MiB a slot
    for (const slot of [0, 1]) {
      for (const part of [0, 1] as const) {
        for (let layer = 0; layer < 2; layer++) {
          const floats = viewFloats(large.slotAddress(layer, part, slot), large.slotBytes / 4);
          for (let head = 0; head < 2; head++) {
            const begin = head * large.capacity * 128;
            floats.fill(slot + 1, begin, begin + tokens * 128);
          }
        }
      }
      large.touch(slot, tokens);
    }
    const full = residentKib();
    large.forget(0, 0);
    const half = residentKib();
    large.forget(1, tokens / 2);
    const quarter = residentKib();
    expect(full - half).toBeGreaterThan(56 * 1024);
    expect(half - quarter).toBeGreaterThan(24 * 1024);
    const left = viewFloats(large.slotAddress(1, 1, 1), (tokens / 2) * 128);
    expect(left.every((value) => value === 2)).toBeTrue();
    large.close();
  });

  test('a pool far larger than memory costs nothing until it is written', () => {
    const huge = new KvPool(geometry, { slots: 64, capacity: 1 << 20 }); // 48 GiB
    fillRows(huge, 63, 1, 5);
    expect(readRows(huge, 63, 1)[0]).toBe(5);
    huge.close();
  });
});

/** What this process has in memory. */
function residentKib(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]);
}

/** Rows of a [plane][head][capacity][dim] array, packed. */
function cut(all: Float32Array, first: number, count: number): Float32Array {
  const dim = geometry.headDim;
  const runs = all.length / (capacity * dim);
  const parts = Array.from({ length: runs }, (_, run) => {
    const begin = (run * capacity + first) * dim;
    return [...all.subarray(begin, begin + count * dim)];
  });
  return Float32Array.from(parts.flat());
}

function paste(target: Float32Array, source: Float32Array, first: number, count: number): void {
  const dim = geometry.headDim;
  for (let run = 0; run < target.length / (capacity * dim); run++) {
    const begin = (run * capacity + first) * dim;
    target.set(source.subarray(begin, begin + count * dim), begin);
  }
}
