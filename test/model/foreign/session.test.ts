// Each kind of export that is served gives what our own graph gives of the same weights: whole prompts,
// chunks, padded prompts together, ragged decode batches, all in place in the KV pool.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import type { OrtSession } from '../../../src/model/session.ts';
import { tinyConfig } from '../tiny-llama.ts';
import type { Kind } from './export-ops.ts';
import { ForeignWorld } from './world.ts';

const kinds: readonly { name: string; kind: Kind; isGenai?: boolean }[] = [
  {
    name: 'GroupQueryAttention that rotates, attention_mask only',
    kind: { attention: 'fused', positions: false, keep: false },
  },
  {
    name: 'GroupQueryAttention with position_ids and num_logits_to_keep',
    kind: { attention: 'apart', positions: true, keep: true },
  },
  {
    name: 'Concat as before scaled_dot_product',
    kind: { attention: 'eager', positions: true, keep: false },
  },
  {
    name: 'Concat with scaled_dot_product and num_logits_to_keep',
    kind: { attention: 'sdpa', positions: true, keep: true },
  },
  {
    name: 'onnxruntime-genai with names of its own',
    kind: { attention: 'fused', positions: false, keep: false, prefix: 'my_' },
    isGenai: true,
  },
  {
    name: 'onnxruntime-genai with position_ids',
    kind: { attention: 'apart', positions: true, keep: false },
    isGenai: true,
  },
];

const world = new ForeignWorld();
const vocab = tinyConfig.vocab_size;
let own: OrtSession;

beforeAll(async () => {
  await world.open();
  own = world.session(world.own());
});
afterAll(() => world.close());

const prompt = (length: number, salt: number): number[] =>
  Array.from({ length }, (_, i) => (i * 37 + salt * 101) % vocab);

/** `count` rows of logits; a copy. */
function rows(logits: Float32Array, count: number): Float32Array {
  return logits.slice(0, count * vocab);
}

function expectSame(found: Float32Array, wanted: Float32Array): void {
  expect(found.length).toBe(wanted.length);
  let worst = 0;
  for (const [i, value] of wanted.entries()) {
    worst = Math.max(worst, Math.abs(value - (found[i] ?? Number.NaN)));
  }
  expect(worst).toBeLessThan(1e-4);
  for (let row = 0; row < wanted.length; row += vocab) {
    expect(best(found.subarray(row, row + vocab))).toBe(best(wanted.subarray(row, row + vocab)));
  }
}

function best(row: Float32Array): number {
  return row.indexOf(Math.max(...row));
}

for (const { name, kind, isGenai = false } of kinds) {
  describe(name, () => {
    let session: OrtSession;
    /** The same of both. */
    const compare = (count: number, run: (one: OrtSession) => Float32Array): void => {
      const wanted = rows(run(own), count);
      expectSame(rows(run(session), count), wanted);
    };

    beforeAll(() => {
      const folder = isGenai ? world.genai(kind) : world.hub(kind);
      // The export itself is a graph that ONNX Runtime takes.
      const path = join(folder, isGenai ? 'decoder.onnx' : 'onnx/model.onnx');
      world.ort.releaseSession(world.ort.createSession(path, { threads: 1 }));
      session = world.session(folder);
    });

    test('a whole prompt, and one in chunks', () => {
      const ids = prompt(41, 2);
      compare(1, (one) => one.prefill({ slot: 0, past: 0, ids }));
      compare(1, (one) => {
        one.prefill({ slot: 1, past: 0, ids: ids.slice(0, 16) });
        one.prefill({ slot: 1, past: 16, ids: ids.slice(16, 32) });
        return one.prefill({ slot: 1, past: 32, ids: ids.slice(32) });
      });
    });

    test('the logits of every token of a chunk behind a past', () => {
      const ids = prompt(29, 3);
      compare(20, (one) => {
        one.prefill({ slot: 2, past: 0, ids: ids.slice(0, 9) });
        return one.prefill({ slot: 2, past: 9, ids: ids.slice(9), everyRow: true });
      });
    });

    test('padded prompts together, then a ragged decode batch with a passenger', () => {
      const prompts = [prompt(18, 4), prompt(21, 5), prompt(16, 6)];
      compare(3, (one) => one.prefillTogether({ slot: 0, prompts }));
      const long = prompt(64, 7);
      compare(4, (one) => {
        one.prefill({ slot: 3, past: 0, ids: long });
        // Slot 1 is a passenger: what is dealt to it is written over by what comes next.
        const pasts = Int32Array.of(18, 12, 16, 64);
        return one.decode({ count: 4, ids: Int32Array.of(3, 0, 7, 9), pasts });
      });
      compare(1, (one) => one.prefill({ slot: 1, past: 12, ids: prompts[1]?.slice(12) ?? [] }));
    });

    test('greedy tokens, in place', () => {
      const speak = (one: OrtSession): number[] => {
        const ids = prompt(11, 8);
        let past = 0;
        let fed: readonly number[] = ids;
        for (let step = 0; step < 40; step++) {
          const logits = one.prefill({ slot: 0, past, ids: fed });
          past += fed.length;
          fed = [best(rows(logits, 1))];
          ids.push(...fed);
        }
        return ids;
      };
      expect(speak(session)).toEqual(speak(own));
    });
  });
}

describe('in other numbers', () => {
  /** The farthest that logits of a prompt, in two chunks, lie from one another. */
  const distance = (left: OrtSession, right: OrtSession): number => {
    const ids = prompt(25, 9);
    const [a, b] = [left, right].map((one) => {
      one.prefill({ slot: 0, past: 0, ids: ids.slice(0, 20) });
      return rows(one.prefill({ slot: 0, past: 20, ids: ids.slice(20), everyRow: true }), 5);
    });
    return Math.max(...(a ?? []).map((value, i) => Math.abs(value - (b?.[i] ?? Number.NaN))));
  };

  test('MatMulNBits as in our own 4-bit graph', () => {
    const kind: Kind = { attention: 'fused', positions: false, keep: false, quantized: 'int4' };
    const folder = world.hub(kind, { file: 'onnx/model_q4.onnx' });
    const [session, ours] = [world.session(folder), world.session(world.own(), 'int4')];
    // Inputs are rounded to 8 bits: what differs in the last digit may be rounded to the next step.
    expect(distance(session, ours)).toBeLessThan(0.05);
    expect(distance(session, own)).toBeGreaterThan(0.2);
  });

  test('logits in float16', () => {
    const kind: Kind = { attention: 'sdpa', positions: true, keep: false, halfLogits: true };
    const found = distance(world.session(world.hub(kind)), own);
    expect(found).toBeLessThan(2e-3);
    expect(found).toBeGreaterThan(1e-6);
  });

  test('DynamicQuantizeLinear and MatMulInteger', () => {
    const kind: Kind = { attention: 'eager', positions: true, keep: true, quantized: 'int8' };
    const folder = world.hub(kind, { file: 'onnx/model_quantized.onnx' });
    expect(distance(world.session(folder), own)).toBeLessThan(0.2);
  });
});
