// The sampler on one row of logits over 49,152 tokens.

import { sampleToken } from '../../engine/sampler.ts';
import { seededChance } from '../../std/prng.ts';
import { summarize } from '../statistics.ts';
import { type Effort, type Section, summaryRow } from './section.ts';

const vocabSize = 49_152;
const rowMsMost = 0.3;

const base = { temperature: 0, topP: 1, seed: 1, maxTokens: 1, minTokens: 0, ignoreEos: true };
const kinds = {
  greedy: base,
  'temperature 0.7': { ...base, temperature: 0.7 },
  'temperature 0.7, top_p 0.95': { ...base, temperature: 0.7, topP: 0.95 },
} as const;

export function measureSampling({ quick }: Effort): Section {
  const original = logitsLike(vocabSize);
  const logits = new Float32Array(vocabSize);
  const row = { logits, begin: 0, end: vocabSize };
  const times = new Map<string, number[]>();
  for (let i = 0; i < (quick ? 60 : 300); i++) {
    for (const [name, sampling] of Object.entries(kinds)) {
      logits.set(original);
      const beganMs = performance.now();
      sampleToken(row, sampling, i, []);
      const tookMs = performance.now() - beganMs;
      if (i >= 20) times.set(name, [...(times.get(name) ?? []), tookMs]); // compiled by then
    }
  }
  const found = [...times].map(([name, ms]) => ({ name, ms: summarize(ms) }));
  return {
    rows: found.map(({ name, ms }) => summaryRow(`sampler, 49k, ${name}`, 'ms', ms)),
    claims: found.map(({ name, ms }) => ({
      name: `sampler, a row of 49k, ${name}, ms`,
      found: ms.median,
      wanted: rowMsMost,
      at: 'most',
    })),
    figures: { sampler: Object.fromEntries(found.map(({ name, ms }) => [name, ms])) },
  };
}

/** Spread as a language model's: most near 0, a few candidates far above. */
function logitsLike(count: number): Float32Array {
  const chance = seededChance(1);
  const draw = (): number => chance.u32() / 2 ** 32;
  const logits = Float32Array.from({ length: count }, () => 4 * (draw() + draw() + draw() - 1.5));
  for (let i = 0; i < 20; i++) logits[chance.u32() % count] = 10 + 4 * draw();
  return logits;
}
