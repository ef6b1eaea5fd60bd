// Tiny models of every architecture through our graph and session against transformers (float32): in one
// go, in chunks, token by token and side by side, beyond their windows and the lengths trained for.

import { afterAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { architectures } from '../../../src/model/architectures.ts';
import { parseConfig } from '../../../src/model/config.ts';
import { argmax, distance, modelNames, World } from './world.ts';

const world = await World.make();
afterAll(() => world.close());

const near = 1e-3;

test('every architecture has a model here', () => {
  for (const { modelType } of architectures) expect(modelNames).toContain(modelType);
});

describe.each(modelNames)('%s', (name) => {
  const { config, golden, wanted, session, prefill } = world.open(name);
  const { vocabSize } = config;

  test('three prompts of 32 tokens each, none decided by a hair', () => {
    expect(golden.map((one) => one.output_ids.length)).toEqual([32, 32, 32]);
    for (const { least_gap } of golden) expect(least_gap).toBeGreaterThan(near * 5);
  });

  test('its config.json as transformers 5 writes it means the same', () => {
    const path = join(import.meta.dir, name, 'config.saved.json');
    const saved = parseConfig(JSON.parse(readFileSync(path, 'utf8')), {}, path);
    expect(saved).toEqual(config);
  });

  test.each([1000, 64, 16, 7, 1])('prompts in chunks of %d', (chunk) => {
    for (const [i, { input_ids }] of golden.entries()) {
      expect(distance(prefill(i, input_ids, chunk), wanted(i))).toBeLessThan(near);
    }
  });

  test('short prompts together, padded', () => {
    const prompts = golden.slice(0, 2).map((one) => one.input_ids);
    const logits = session.prefillTogether({ slot: 1, prompts }).slice();
    for (const i of prompts.keys()) {
      const row = logits.slice(i * vocabSize, (i + 1) * vocabSize);
      expect(distance(row, wanted(i))).toBeLessThan(near);
    }
  });

  test.each([0, 1, 2])('greedy tokens of prompt %d', (i) => {
    const { input_ids = [], output_ids = [] } = golden[i] ?? {};
    let logits = prefill(0, input_ids, 1000);
    const continued = output_ids.map((_, step) => {
      const token = argmax(logits);
      const pasts = Int32Array.of(input_ids.length + step);
      logits = session.decode({ count: 1, ids: Int32Array.of(token), pasts }).slice(0, vocabSize);
      return token;
    });
    expect(continued).toEqual(output_ids);
  });

  test('greedy tokens of all prompts side by side', () => {
    const tokens = golden.map(({ input_ids }, slot) => [argmax(prefill(slot, input_ids, 16))]);
    for (let step = 0; step < 31; step++) {
      const logits = session.decode({
        count: golden.length,
        ids: Int32Array.from(tokens, (said) => said.at(-1) ?? 0),
        pasts: Int32Array.from(golden, ({ input_ids }) => input_ids.length + step),
      });
      for (const [slot, said] of tokens.entries()) {
        said.push(argmax(logits.slice(slot * vocabSize, (slot + 1) * vocabSize)));
      }
    }
    expect(tokens).toEqual(golden.map((one) => one.output_ids));
  });
});
