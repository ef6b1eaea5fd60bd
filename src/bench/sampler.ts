// What choosing a token costs, one row of logits at a time, for the settings that people use and for
// the dearest ones. The logits are normally distributed and wider than a trained model's: thousands
// of tokens in the nucleus, nothing for a short cut to live on.

import { keepRaw, tokenLogprobs } from '../engine/logprob.ts';
import { createScratch } from '../engine/row.ts';
import { sampleToken } from '../engine/sampler.ts';
import { neutralSampling, type Sampling } from '../protocol/request.ts';
import { drawAt } from '../std/prng.ts';
import { type Summary, summarize } from './statistics.ts';

const warmCount = 300;
const sampleCount = 400;
const promptLength = 512;
const historyLength = 1024;
/** Rows that take turns, so that no branch learns the data. */
const rowCount = 8;

export type SamplerFigures = {
  readonly vocabSize: number;
  /** One row each, in ms. */
  readonly greedyMs: Summary;
  /** Temperature, top_p 0.9 and top_k 50. */
  readonly commonMs: Summary;
  readonly temperatureMs: Summary;
  /** Temperature and top_p 0.9 over the whole vocabulary. */
  readonly topPMs: Summary;
  /** The common settings with all three penalties over 1,024 ids. */
  readonly penaltiesMs: Summary;
  /** What 20 logprobs add. */
  readonly logprobsMs: Summary;
};

export function measureSampler(vocabSize: number): SamplerFigures {
  const rows = Array.from({ length: rowCount }, (_, i) => normalLogits(vocabSize, i));
  const scratch = createScratch(vocabSize);
  const ids = Array.from({ length: historyLength }, (_, i) => (i * 37) % vocabSize);
  const history = { ids, promptLength };
  const logits = new Float32Array(vocabSize);
  const row = { logits, begin: 0, end: vocabSize };
  const time = (work: () => void): Summary => {
    const times: number[] = [];
    for (let i = 0; i < warmCount + sampleCount; i++) {
      logits.set(rows[i % rowCount] ?? []);
      ids[historyLength - 1] = i % vocabSize; // another last token, so another state …
      const beganMs = performance.now();
      work();
      if (i >= warmCount) times.push(performance.now() - beganMs);
    }
    return summarize(times);
  };
  const sample = (changes: Partial<Sampling>): Summary => {
    let seed = 0;
    return time(() => {
      const sampling = { ...neutralSampling, maxTokens: 1, seed: seed++, ...changes }; // … and draw
      sampleToken(row, { sampling, history, banned: [] }, scratch);
    });
  };
  const common = { temperature: 0.8, topP: 0.9, topK: 50 };
  const penalties = { presencePenalty: 0.5, frequencyPenalty: 0.5, repetitionPenalty: 1.1 };
  return {
    vocabSize,
    greedyMs: sample({ temperature: 0 }),
    commonMs: sample(common),
    temperatureMs: sample({ temperature: 0.8 }),
    topPMs: sample({ temperature: 0.8, topP: 0.9 }),
    penaltiesMs: sample({ ...common, ...penalties }),
    logprobsMs: time(() => {
      keepRaw(row, scratch);
      tokenLogprobs(0, 20, scratch);
    }),
  };
}

/** Box and Muller's, with a spread of 2.5. */
function normalLogits(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => {
    const radius = Math.sqrt(-2 * Math.log(1 - drawAt(seed, 2 * i)));
    return 2.5 * radius * Math.cos(2 * Math.PI * drawAt(seed, 2 * i + 1));
  });
}
