// The report on KV dtypes, on the built-in model: its prompts are what they say, and its figures are in
// the order in which they must be.

import { expect, test } from 'bun:test';
import * as v from 'valibot';
import { measureKvAccuracy } from '../../src/bench/kv/accuracy.ts';
import { builtInPrompts } from '../../src/bench/kv/prompts.ts';
import { openModel } from '../../src/model/folder.ts';
import { kvDtypes } from '../../src/protocol/kv-size.ts';

test('the prompts: sized ones have their size, none is there twice, none is too long', async () => {
  const prompts = await builtInPrompts(openModel('tdist/demo'), 300);
  expect(prompts.length).toBeGreaterThan(20);
  expect(new Set(prompts.map(({ ids }) => ids.join())).size).toBe(prompts.length);
  for (const { name, ids } of prompts) {
    const size = /^(\d+) tokens/.exec(name)?.[1];
    if (size !== undefined) expect([name, ids.length]).toEqual([name, Number(size)]);
    expect(ids.length).toBeLessThanOrEqual(300);
  }
});

const figuresSchema = v.object({
  ratio: v.number(),
  agreementPercent: v.number(),
  deltaLogitMost: v.number(),
});

test('float32 changes nothing; the others more, the fewer bits they have', async () => {
  const { figures, rows, claims } = await measureKvAccuracy({ quick: true });
  expect(rows.length).toBe(kvDtypes.length * 6);
  expect(claims).toEqual([expect.objectContaining({ found: 0, wanted: 0 })]);
  const found = v.parse(v.looseObject({}), figures['kvAccuracy']);
  const all = kvDtypes.map((dtype) => v.parse(figuresSchema, found[dtype]));
  expect(all.map(({ ratio }) => Math.round(ratio * 100))).toEqual([100, 50, 50, 25, 25]);
  const deltas = all.map(({ deltaLogitMost }) => deltaLogitMost);
  expect(deltas[0]).toBe(0);
  for (const [i, delta] of deltas.slice(1).entries()) expect(delta).toBeGreaterThan(deltas[i] ?? 0);
  expect(all[0]?.agreementPercent).toBe(100);
  for (const { agreementPercent } of all) expect(agreementPercent).toBeGreaterThan(95);
}, 60_000);
