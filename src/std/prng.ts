// Chance as a port, and the counter-based draws that sampling uses.

/** Where ids and seeds come from. */
export type Chance = {
  /** 16 random bytes as 32 hex digits. */
  id(): string;
  /** An integer in [0, 2^32). */
  u32(): number;
};

export const realChance: Chance = {
  id: () => Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('hex'),
  u32: () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
};

/** A repeatable chance for tests and the simulation. */
export function seededChance(seed: number): Chance {
  let counter = 0;
  const next = (): number => mix32(seed >>> 0, counter++);
  return {
    u32: next,
    id: () => [0, 0, 0, 0].map(() => next().toString(16).padStart(8, '0')).join(''),
  };
}

/**
 * One draw in [0, 1) for (seed, position): the same pair always gives the same number, wherever and
 * whenever it is asked for, so a stream that resumes on another worker goes on with the same tokens.
 * `seed` may be any safe integer; both its halves count.
 */
export function drawAt(seed: number, position: number): number {
  const low = seed >>> 0;
  const high = Math.floor(seed / 0x1_0000_0000) >>> 0;
  const key = mix32(low, high ^ 0x9e37_79b9);
  const a = mix32(key, position * 2);
  const b = mix32(key, position * 2 + 1);
  // 53 bits: 27 from a, 26 from b.
  return ((a >>> 5) * 0x400_0000 + (b >>> 6)) / 0x20_0000_0000_0000;
}

/** A 32-bit mix of two words (the finaliser of MurmurHash3, applied to each in turn). */
function mix32(key: number, counter: number): number {
  let h = (key ^ Math.imul(counter + 0x7f4a_7c15, 0x85eb_ca6b)) >>> 0;
  for (let round = 0; round < 2; round++) {
    h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
    h = (h ^ (h >>> 16) ^ key) >>> 0;
  }
  return h >>> 0;
}
