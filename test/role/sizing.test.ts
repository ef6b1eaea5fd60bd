import { describe, expect, test } from 'bun:test';
import { Arena, blockStride } from '../../src/kv/arena.ts';
import { blockCount, tokenBytes } from '../../src/kv/geometry.ts';
import { kvDtypes } from '../../src/protocol/kv-size.ts';
import { limit } from '../../src/protocol/limit.ts';
import { type SizingOptions, sizeWorker } from '../../src/role/sizing.ts';
import { toFault } from '../../src/std/fault.ts';
import { realChance, seededChance } from '../../src/std/prng.ts';

const gib = 2 ** 30;
const small = { layers: 6, kvHeads: 4, headDim: 32, blockTokens: 64 };
const llama1b = { layers: 16, kvHeads: 8, headDim: 64, blockTokens: 64 };

const roomy: SizingOptions = {
  geometry: small,
  kvDtype: 'float32',
  positions: 2048,
  isContext: false,
  hasArena: true,
  maxModelLen: null,
  seqCountMax: null,
  requestCountMax: 256,
  arenaBytes: null,
  shmBytes: 2 ** 40,
  freeBytes: 16 * gib,
  memoryBytes: 20 * gib,
  weightBytes: 0.1 * gib,
};

const size = (change: Partial<SizingOptions> = {}) => sizeWorker({ ...roomy, ...change });

/** Code and message of the refusal. */
function refusal(change: Partial<SizingOptions>): string {
  try {
    return `none: ${JSON.stringify(size(change))}`;
  } catch (thrown) {
    const { code, message } = toFault(thrown);
    return `${code}: ${message}`;
  }
}

describe('sizeWorker', () => {
  test('a small model in a large memory gets all it may have', () => {
    expect(size()).toEqual({
      maxModelLen: 2048,
      slots: limit.seqsDefault,
      tokensMax: limit.seqsDefault * 2048,
      arenaBytes: limit.arenaBytesDefault,
    });
    expect(size({ isContext: true }).slots).toBeLessThan(limit.seqsDefault);
    expect(size({ seqCountMax: 5, maxModelLen: 100 })).toMatchObject({ slots: 5, tokensMax: 500 });
    expect(size({ requestCountMax: 3 }).slots).toBe(3);
    expect(size({ hasArena: false }).arenaBytes).toBe(0);
    expect(size({ arenaBytes: 123_456_789 }).arenaBytes).toBe(123_456_789);
  });

  test('the default arena grows with the model’s longest prompt, up to a share of the memory', () => {
    const prompts = [2048, 8192, 32_768].map(
      (maxModelLen) =>
        size({ geometry: llama1b, positions: 131_072, freeBytes: 64 * gib, maxModelLen })
          .arenaBytes,
    );
    expect(prompts).toEqual([...prompts].sort((a, b) => a - b));
    expect(prompts[0]).toBeGreaterThan(limit.arenaBytesDefault);
    expect(prompts[0]).toBeGreaterThanOrEqual(4 * 2048 * tokenBytes(llama1b));
    const large = { geometry: llama1b, positions: 131_072, weightBytes: 4 * gib };
    expect(size({ ...large, freeBytes: 16 * gib }).arenaBytes).toBe(3 * gib);
    expect(size({ freeBytes: 0.2 * gib, weightBytes: 0 }).arenaBytes).toBe(Math.floor(0.05 * gib));
  });

  test('without flags a large model starts, with a length that memory and arena hold', () => {
    for (const isContext of [true, false]) {
      for (const freeBytes of [5.5 * gib, 16 * gib, 100 * gib]) {
        const options = { geometry: llama1b, positions: 131_072, weightBytes: 5 * gib };
        const sizing = size({ ...options, isContext, freeBytes });
        expect(sizing.maxModelLen).toBeGreaterThan(1000);
        expectHolds(sizing, { ...roomy, ...options, isContext, freeBytes });
      }
    }
  });

  test('slots: as many usual sequences as memory holds, up to where a batch gains little', () => {
    const slots = (memoryBytes: number, change: Partial<SizingOptions> = {}) =>
      size({ geometry: llama1b, positions: 8192, weightBytes: 5 * gib, memoryBytes, ...change })
        .slots;
    const usualBytes = limit.usualTokens * tokenBytes(llama1b); // 64 MiB
    // A quarter of what the weights leave may become the arena.
    expect(slots(5 * gib + 12 * usualBytes)).toBe(9);
    expect(slots(5 * gib + 12 * usualBytes, { hasArena: false })).toBe(12);
    expect(slots(5 * gib + 12 * usualBytes, { arenaBytes: 2 * usualBytes })).toBe(10);
    expect(slots(64 * gib)).toBe(limit.seqsDefault);
    expect(slots(64 * gib, { isContext: true })).toBe(limit.contextSeqsDefault);
    const arenaBytes = 10 * usualBytes;
    expect(slots(5 * gib + 14 * usualBytes, { isContext: true, arenaBytes })).toBe(4);
    expect(slots(5 * gib)).toBe(1);
    // Of short sequences there is room for more.
    expect(slots(5 * gib + 4 * usualBytes, { hasArena: false, maxModelLen: 256 })).toBe(16);
    expect(slots(5 * gib, { seqCountMax: 40 })).toBe(40);
  });

  test('slots do not follow what other programs use at the moment', () => {
    const options = {
      geometry: llama1b,
      positions: 8192,
      weightBytes: 5 * gib,
      memoryBytes: 7 * gib,
    };
    const found = [6, 6.5, 7].map((free) => size({ ...options, freeBytes: free * gib }));
    expect(new Set(found.map(({ slots }) => slots)).size).toBe(1);
    expect(new Set(found.map(({ tokensMax }) => tokensMax)).size).toBe(3);
  });

  test('the slots’ address space is bounded', () => {
    const huge = {
      geometry: { ...llama1b, layers: 256 },
      positions: 2 ** 20,
      memoryBytes: 2 ** 50,
    };
    const roomyNow = { freeBytes: 2 ** 50, shmBytes: 2 ** 40 };
    const perSlot = 2 ** 20 * tokenBytes(huge.geometry); // 1 TiB
    const { slots } = size({ ...huge, ...roomyNow });
    expect(slots * perSlot).toBeLessThanOrEqual(limit.kvAddressBytesMax);
    expect((slots + 1) * perSlot).toBeGreaterThan(limit.kvAddressBytesMax);
    expect(refusal({ ...huge, ...roomyNow, seqCountMax: slots + 1 })).toBe(
      `config: --max-num-seqs 17 with --max-model-len 1048576 needs 17408 GiB of address space, and 16384 GiB may be used: 16 sequences; lower the one or the other`,
    );
  });

  test('a context worker’s arena holds its longest prompt: the arena itself says so', () => {
    const sizing = size({
      isContext: true,
      maxModelLen: 300,
      arenaBytes: 10 * blockStride(small, 'float32'),
    });
    const id = `test-${realChance.id()}`;
    const { arenaBytes: sizeBytes } = sizing;
    const arena = new Arena({
      id,
      geometry: small,
      dtype: 'float32',
      sizeBytes,
      identity: '00'.repeat(32),
    });
    expect(arena.blockCount).toBeGreaterThanOrEqual(blockCount(small, 300));
    arena.close();
  });

  test('any options: memory is never exceeded, or a refusal says why', () => {
    const chance = seededChance(3);
    const below = (count: number): number => chance.u32() % count;
    let accepted = 0;
    for (let i = 0; i < 2000; i++) {
      const options: SizingOptions = {
        geometry: below(2) === 0 ? small : llama1b,
        kvDtype: kvDtypes[below(5)] ?? 'float32',
        positions: 2 ** (7 + below(11)),
        isContext: below(2) === 0,
        hasArena: true,
        maxModelLen: below(2) === 0 ? null : 1 + below(4096),
        seqCountMax: below(2) === 0 ? null : 1 + below(64),
        requestCountMax: 1 + below(256),
        arenaBytes: below(2) === 0 ? null : 2 ** (12 + below(20)),
        shmBytes: 2 ** 40,
        freeBytes: 2 ** (26 + below(10)),
        memoryBytes: 2 ** 37,
        weightBytes: 2 ** (20 + below(12)),
      };
      const found = refusal(options);
      if (found.startsWith('none')) {
        accepted++;
        expectHolds(sizeWorker(options), options);
      } else {
        expect(found).toMatch(/^config: /);
        expect(found.match(/\d+/g)?.length ?? 0).toBeGreaterThanOrEqual(2); // both numbers
      }
    }
    expect(accepted).toBeGreaterThan(300);
  });

  test('every refusal names both numbers and what to turn', () => {
    expect(refusal({ maxModelLen: 4096 })).toBe(
      "config: --max-model-len 4096 is more than the model's own 2048; lower it",
    );
    expect(refusal({ seqCountMax: 300 })).toBe(
      'config: --max-num-seqs 300 is more than --max-batch-size 256 lets in; lower the one or raise the other',
    );
    const perToken = tokenBytes(small);
    expect(refusal({ maxModelLen: 2048, freeBytes: 2000 * perToken, weightBytes: 0 })).toMatch(
      /^config: one sequence of 2048 tokens needs 12 MiB of KV beside 0 MiB of weights and 3 MiB of arena, and 12 MiB may be used; lower/,
    );
    expect(refusal({ isContext: true, arenaBytes: 1_000_000 })).toMatch(
      /^config: --kv-arena-bytes 1000000 is less than the \d{8} that a prompt of --max-model-len 2048 takes; raise/,
    );
    const block = blockStride(small, 'float32');
    expect(refusal({ arenaBytes: 300_000 })).toMatch(
      /^config: --kv-arena-bytes 300000 is less than the \d{6} that one block of --block-tokens 64 takes; raise/,
    );
    expect(refusal({ shmBytes: block })).toMatch(
      /^config: memory and \/dev\/shm leave \d+ bytes for the KV arena, less than the \d{6} that/,
    );
    expect(refusal({ geometry: { ...small, blockTokens: 4096 } })).toBe(
      "config: --block-tokens 4096 is more than the model's own 2048: no block would ever be full; lower it",
    );
    const tight = { freeBytes: 200 * perToken, weightBytes: 0, hasArena: false, maxModelLen: 100 };
    expect(refusal({ ...tight, seqCountMax: 201 })).toMatch(
      /^config: --max-num-seqs 201 is more than the 200 tokens that/,
    );
    expect(size({ ...tight, seqCountMax: 200 }).slots).toBe(200);
    expect(refusal({ weightBytes: 20 * gib })).toMatch(/20480 MiB of weights .* 16384 MiB may be/);
  });
});

/** Weights, arena and the slots' KV fit the memory, and the longest sequence fits each. */
function expectHolds(sizing: ReturnType<typeof sizeWorker>, options: SizingOptions): void {
  const { maxModelLen, slots, tokensMax, arenaBytes } = sizing;
  const used = options.weightBytes + arenaBytes + tokensMax * tokenBytes(options.geometry);
  expect(used).toBeLessThanOrEqual(options.freeBytes);
  expect(maxModelLen).toBeLessThanOrEqual(tokensMax);
  expect(maxModelLen).toBeLessThanOrEqual(options.positions);
  expect(tokensMax).toBeLessThanOrEqual(slots * maxModelLen);
  if (!options.isContext) return;
  const blocks = Math.floor(
    (arenaBytes - 8192) / (blockStride(options.geometry, options.kvDtype) + 8),
  );
  expect(blocks).toBeGreaterThanOrEqual(blockCount(options.geometry, maxModelLen));
}
