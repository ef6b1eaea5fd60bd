// Rows for codecs: what a model's KV looks like, and what it should never look like.

import type { Geometry } from '../../../src/protocol/ticket.ts';
import { seededChance } from '../../../src/std/prng.ts';

export const geometry: Geometry = { layers: 2, kvHeads: 3, headDim: 8, blockTokens: 16 };
export const groups = 12;
/** Values of a group in a full block. */
export const length = 128;

const chance = seededChance(11);
const unit = (): number => chance.u32() / 2 ** 32;
const sign = (): number => (chance.u32() % 2 === 0 ? 1 : -1);

const largest = 3.4028234663852886e38;

type Make = () => number;

/** Roughly normal, as keys and values are. */
const bell: Make = () => (unit() + unit() + unit() + unit() - 2) * 3;

const makes: Readonly<Record<string, Make>> = {
  bell,
  'bell, far from 1': () => bell() * 1e-3,
  'a few outliers': () => bell() * (unit() < 0.02 ? 300 : 1),
  'every magnitude': () => sign() * 2 ** (unit() * 276 - 149),
  'every bit pattern of a finite number': () => {
    for (;;) {
      const [value = 0] = new Float32Array(Uint32Array.of(chance.u32()).buffer);
      if (Number.isFinite(value)) return value;
    }
  },
  denormal: () => sign() * (chance.u32() % 2 ** 23) * 2 ** -149,
  'least denormals': () => sign() * (chance.u32() % 300) * 2 ** -149,
  huge: () => sign() * largest * (1 - unit() / 4),
  'the largest': () => sign() * largest,
  'around half-way': () => sign() * (1 + (chance.u32() % 4096) / 4096),
  'powers of two': () => sign() * 2 ** ((chance.u32() % 277) - 149),
  zeros: () => 0,
  'negative zeros': () => -0,
  'zeros but one': () => (unit() < 0.005 ? 1 : 0),
};

/** [name, groups × length values], the same at each run. */
export const inputs: readonly (readonly [string, Float32Array])[] = Object.entries(makes).map(
  ([name, make]) => [name, Float32Array.from({ length: groups * length }, make)],
);
