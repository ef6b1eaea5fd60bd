// What the model itself thought of a token: log-softmax of its logits as they came, before bias,
// penalties and temperature (vLLM's `raw_logprobs`). Costs a pass of exponentials over the
// vocabulary, so only for requests that ask.

import { logprobMin, type TokenLogprobs } from '../protocol/request.ts';
import { likeliest } from './candidate.ts';
import { findBestByBlock, type Row, type Scratch } from './row.ts';

/** Before sampling, which overwrites the row. */
export function keepRaw({ logits, begin, end }: Row, { raw }: Scratch): void {
  raw.set(logits.subarray(begin, end));
}

/** Of the row that `keepRaw` kept. `topCount` entries, fewer only where the vocabulary is smaller. */
export function tokenLogprobs(token: number, topCount: number, scratch: Scratch): TokenLogprobs {
  const { raw, ids } = scratch;
  const row = { logits: raw, begin: 0, end: raw.length };
  const top = raw[findBestByBlock(row, scratch)] ?? 0;
  let sum = 0;
  for (let i = 0; i < raw.length; i++) sum += Math.exp((raw[i] ?? Number.NEGATIVE_INFINITY) - top);
  const norm = top + Math.log(sum);
  const of = (id: number): number => finite((raw[id] ?? Number.NEGATIVE_INFINITY) - norm);
  const count = topCount === 0 ? 0 : likeliest(row, topCount, scratch);
  const best = [...ids.subarray(0, count)].map((id): [number, number] => [id, of(id)]);
  best.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  return { logprob: of(token), top: best };
}

function finite(logprob: number): number {
  return logprob >= logprobMin ? logprob : logprobMin; // −∞ and NaN too
}
