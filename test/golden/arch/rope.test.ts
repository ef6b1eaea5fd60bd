// Rotary frequencies and amplitudes of scalings as published models have them, against transformers.

import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { readRope } from '../../../src/model/rope.ts';

const numbers = v.array(v.number());
const caseSchema = v.object({
  name: v.string(),
  dims: v.number(),
  theta: v.number(),
  positions: v.number(),
  scaling: v.record(v.string(), v.unknown()),
  frequencies: numbers,
  amplitude: v.number(),
});
const cases = v.parse(
  v.array(caseSchema),
  JSON.parse(readFileSync(join(import.meta.dir, 'rope.json'), 'utf8')),
);

test.each(cases)('$name', ({ frequencies, amplitude, ...source }) => {
  const rope = readRope({ ...source, where: 'config.json' });
  expect(rope.amplitude).toBeCloseTo(amplitude, 12);
  expect(rope.frequencies.length).toBe(frequencies.length);
  for (const [j, wanted] of frequencies.entries()) {
    // transformers has them in float32, so three roundings or so apart.
    expect(Math.abs((rope.frequencies[j] ?? 0) / wanted - 1)).toBeLessThan(1e-6);
  }
});
