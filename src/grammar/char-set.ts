// Sets of code points as sorted ranges, and their UTF-8 as ranges of bytes. Surrogates are in no set:
// they have no UTF-8.

/** [first, last], ascending, neither overlapping nor touching. */
export type CharSet = readonly (readonly [number, number])[];

const codePointMax = 0x10_ffff;

export function setOf(ranges: readonly (readonly [number, number])[]): CharSet {
  const sorted = [...ranges].filter(([lo, hi]) => lo <= hi).sort((a, b) => a[0] - b[0]);
  const merged: [number, number][] = [];
  for (const [lo, hi] of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && lo <= last[1] + 1) last[1] = Math.max(last[1], hi);
    else merged.push([lo, hi]);
  }
  return merged;
}

export function charsOf(characters: string): CharSet {
  return setOf(
    Array.from(characters, (char) => [char.codePointAt(0) ?? 0, char.codePointAt(0) ?? 0]),
  );
}

export function union(...sets: readonly CharSet[]): CharSet {
  return setOf(sets.flat());
}

export function complement(set: CharSet): CharSet {
  const rest: [number, number][] = [];
  let next = 0;
  for (const [lo, hi] of set) {
    if (lo > next) rest.push([next, lo - 1]);
    next = hi + 1;
  }
  if (next <= codePointMax) rest.push([next, codePointMax]);
  return rest;
}

export function minus(set: CharSet, other: CharSet): CharSet {
  return complement(union(complement(set), other));
}

export function has(set: CharSet, codePoint: number): boolean {
  return set.some(([lo, hi]) => lo <= codePoint && codePoint <= hi);
}

export const everyChar: CharSet = [[0, codePointMax]];

/** [lowest, highest] of each byte of a character. */
export type ByteRanges = readonly (readonly [number, number])[];

/** The UTF-8 of the set: a character of it matches exactly one of the sequences. */
export function utf8Ranges(set: CharSet): ByteRanges[] {
  const sequences: ByteRanges[] = [];
  for (const [first, last] of set) {
    for (const [lo, hi] of bands) {
      const from = Math.max(first, lo);
      const to = Math.min(last, hi);
      if (from <= to) split(from, to, sequences);
    }
  }
  return sequences;
}

/** Code points whose UTF-8 is equally long, surrogates left out. */
const bands = [
  [0, 0x7f],
  [0x80, 0x7ff],
  [0x800, 0xd7ff],
  [0xe000, 0xffff],
  [0x1_0000, codePointMax],
] as const;

/** Cuts until first and last bytes alone say what is between: all others are full or equal. */
function split(lo: number, hi: number, into: ByteRanges[]): void {
  for (let bits = 6; bits <= 18 && lo > 0x7f; bits += 6) {
    const mask = (1 << bits) - 1;
    if ((lo & ~mask) === (hi & ~mask)) continue;
    if ((lo & mask) !== 0) {
      split(lo, lo | mask, into);
      return split((lo | mask) + 1, hi, into);
    }
    if ((hi & mask) !== mask) {
      split(lo, (hi & ~mask) - 1, into);
      return split(hi & ~mask, hi, into);
    }
  }
  const first = utf8(lo);
  const last = utf8(hi);
  into.push(first.map((byte, i) => [byte, last[i] ?? byte]));
}

export function utf8(codePoint: number): number[] {
  if (codePoint < 0x80) return [codePoint];
  if (codePoint < 0x800) return [0xc0 | (codePoint >> 6), tail(codePoint, 0)];
  if (codePoint < 0x1_0000) {
    return [0xe0 | (codePoint >> 12), tail(codePoint, 6), tail(codePoint, 0)];
  }
  return [0xf0 | (codePoint >> 18), tail(codePoint, 12), tail(codePoint, 6), tail(codePoint, 0)];
}

function tail(codePoint: number, shift: number): number {
  return 0x80 | ((codePoint >> shift) & 0x3f);
}
