// What a request adds to and takes from the logits: logit_bias, repetition, presence and frequency
// penalty, in vLLM's order. Presence and frequency see what was generated (OpenAI), repetition sees
// the prompt as well (Hugging Face). Only ids that occur are touched.

import type { Sampling } from '../protocol/request.ts';
import type { Row, Scratch } from './row.ts';

/** A sequence's ids, the first `promptLength` of which were given. */
export type History = { readonly ids: readonly number[]; readonly promptLength: number };

/** The largest float32: past it lies infinity, and infinities cannot be weighed. */
const logitMax = 3.4028234663852886e38;

export function applyBias(row: Row, sampling: Sampling, history: History, scratch: Scratch): void {
  const { logits, begin, end } = row;
  for (const [id, bias] of sampling.logitBias) {
    if (begin + id < end) logits[begin + id] = (logits[begin + id] ?? 0) + bias;
  }
  if (sampling.repetitionPenalty !== 1) repel(row, sampling.repetitionPenalty, history, scratch);
  const { presencePenalty, frequencyPenalty } = sampling;
  if (presencePenalty === 0 && frequencyPenalty === 0) return;
  const { ids, promptLength } = history;
  const { counts } = scratch;
  for (let i = promptLength; i < ids.length; i++) {
    const id = ids[i] ?? 0;
    counts[id] = (counts[id] ?? 0) + 1;
  }
  for (let i = promptLength; i < ids.length; i++) {
    const id = ids[i] ?? 0;
    const count = counts[id] ?? 0;
    if (count === 0) continue; // an earlier occurrence has seen to it
    counts[id] = 0;
    if (begin + id >= end) continue;
    const penalty = presencePenalty + frequencyPenalty * count;
    logits[begin + id] = (logits[begin + id] ?? 0) - penalty;
  }
}

function repel(row: Row, penalty: number, { ids }: History, { counts }: Scratch): void {
  const { logits, begin, end } = row;
  for (const id of ids) {
    if (counts[id] === 1 || begin + id >= end) continue;
    counts[id] = 1;
    const logit = logits[begin + id] ?? 0;
    const repelled = logit > 0 ? logit / penalty : logit * penalty;
    logits[begin + id] = Math.max(-logitMax, Math.min(logitMax, repelled));
  }
  for (const id of ids) counts[id] = 0;
}
