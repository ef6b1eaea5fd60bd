// The graph run by onnxruntime-node's own session, which copies the whole cache out and in at every
// step, against ours, which keeps it in place. Same library, two roads: the same logits.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as ort from 'onnxruntime-node';
import { TinyModel } from '../model/tiny-session.ts';
import { argmax } from './argmax.ts';

const capacity = 96;
let tiny: TinyModel;
let theirs: ort.InferenceSession;

beforeAll(async () => {
  tiny = await TinyModel.make(5);
  theirs = await ort.InferenceSession.create(tiny.graphPath, { intraOpNumThreads: 1 });
});

afterAll(async () => {
  await theirs.release();
  tiny.close();
});

/** One sequence on onnxruntime-node: the cache travels from step to step as ordinary tensors. */
class TheirSequence {
  #past: Record<string, ort.Tensor> = {};
  #length = 0;

  constructor() {
    const { layers, kvHeads, headDim } = tiny.model.config;
    const dims = [1, kvHeads, capacity, headDim];
    for (let i = 0; i < layers; i++) {
      for (const part of ['key', 'value']) {
        const zeros = new Float32Array(kvHeads * capacity * headDim);
        this.#past[`past.${i}.${part}`] = new ort.Tensor('float32', zeros, dims);
      }
    }
  }

  async feed(ids: readonly number[]): Promise<Float32Array> {
    this.#length += ids.length;
    const outputs = await theirs.run({
      input_ids: new ort.Tensor('int32', Int32Array.from(ids), [1, ids.length]),
      seqlens_k: new ort.Tensor('int32', Int32Array.of(this.#length - 1), [1]),
      total_sequence_length: new ort.Tensor('int32', Int32Array.of(this.#length), []),
      last_rows: new ort.Tensor('int32', Int32Array.of(ids.length - 1), [1]),
      ...this.#past,
    });
    for (const name of Object.keys(this.#past)) {
      const present = outputs[name.replace('past', 'present')];
      if (present !== undefined) this.#past[name] = present;
    }
    const logits = outputs['logits']?.data;
    if (!(logits instanceof Float32Array)) throw new Error('no logits came');
    return logits;
  }
}

function worst(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? Number.NaN))), 0);
}

describe('our session and onnxruntime-node’s', () => {
  const prompts = [1, 2, 15, 16, 17, 40].map((length, salt) =>
    Array.from({ length }, (_, i) => (i * 29 + salt * 83) % 319),
  );
  for (const prompt of prompts) {
    test(`a prompt of ${prompt.length}, then greedy steps, logits within 1e-5`, async () => {
      const { session } = tiny.session({ slots: 1, capacity, stepTokens: 64, blockTokens: 16 });
      const sequence = new TheirSequence();
      let past = 0;
      let ids = prompt;
      for (let step = 0; step < 12; step++) {
        const ours = session.prefill({ slot: 0, past, ids }).slice(0, session.vocabSize);
        const wanted = await sequence.feed(ids);
        expect(wanted.some((value) => Math.abs(value) > 0.1)).toBeTrue(); // there is something to compare
        expect(worst(ours, wanted)).toBeLessThan(1e-5);
        expect(argmax(ours)).toBe(argmax(wanted));
        past += ids.length;
        ids = [argmax(wanted)];
      }
    });
  }

  test('prompts prefilled together, padded, against each alone on theirs; and on from there', async () => {
    const slots = prompts.length;
    const { session } = tiny.session({ slots, capacity, stepTokens: 240, blockTokens: 16 });
    // What an earlier owner has left in the slots must not count.
    for (let slot = 0; slot < slots; slot++) {
      session.prefill({ slot, past: 0, ids: prompts.at(-1) ?? [] });
    }
    const logits = session.prefillTogether({ slot: 0, prompts }).slice();
    const next: number[] = [];
    const sequences: TheirSequence[] = [];
    for (const [i, ids] of prompts.entries()) {
      const sequence = new TheirSequence();
      const wanted = await sequence.feed(ids);
      const begin = i * session.vocabSize;
      expect(worst(logits.slice(begin, begin + session.vocabSize), wanted)).toBeLessThan(1e-5);
      sequences.push(sequence);
      next.push(argmax(wanted));
    }
    const pasts = Int32Array.from(prompts, (ids) => ids.length);
    const decoded = session.decode({ count: slots, ids: Int32Array.from(next), pasts }).slice();
    for (const [i, sequence] of sequences.entries()) {
      const wanted = await sequence.feed([next[i] ?? -1]);
      const begin = i * session.vocabSize;
      expect(worst(decoded.slice(begin, begin + session.vocabSize), wanted)).toBeLessThan(1e-5);
    }
  });

  test('a ragged batch of ours against one sequence each of theirs', async () => {
    const slots = prompts.length;
    const { session } = tiny.session({ slots, capacity, stepTokens: 64, blockTokens: 16 });
    const sequences: TheirSequence[] = [];
    const next: number[] = [];
    for (const [slot, ids] of prompts.entries()) {
      session.prefill({ slot, past: 0, ids });
      const sequence = new TheirSequence();
      next.push(argmax(await sequence.feed(ids)));
      sequences.push(sequence);
    }
    const pasts = Int32Array.from(prompts, (ids) => ids.length);
    for (let step = 0; step < 6; step++) {
      const logits = session.decode({ count: slots, ids: Int32Array.from(next), pasts }).slice();
      for (const [slot, sequence] of sequences.entries()) {
        const wanted = await sequence.feed([next[slot] ?? -1]);
        const begin = slot * session.vocabSize;
        expect(worst(logits.slice(begin, begin + session.vocabSize), wanted)).toBeLessThan(1e-5);
        next[slot] = argmax(wanted);
        pasts[slot] = (pasts[slot] ?? 0) + 1;
      }
    }
  });
});
