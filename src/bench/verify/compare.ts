// Do two transcripts say the same? If not, where they part. Pure.

import type { Transcript } from './transcript.ts';

export type Difference = {
  /** Index of the first token that differs, as far as the text can tell. */
  readonly token: number;
  /** One line: what the one says there, and what the other. */
  readonly what: string;
};

/** Null when they are identical: every piece, every count, the end. */
export function firstDifference(a: Transcript, b: Transcript): Difference | null {
  if (a.promptTokens !== b.promptTokens) {
    return { token: 0, what: `prompt of ${a.promptTokens} tokens | ${b.promptTokens}` };
  }
  const count = Math.max(a.pieces.length, b.pieces.length);
  for (let i = 0; i < count; i++) {
    const [one, other] = [a.pieces[i], b.pieces[i]];
    if (one?.text === other?.text && one?.tokens === other?.tokens) continue;
    const token = Math.min(one?.tokens ?? a.tokens + 1, other?.tokens ?? b.tokens + 1) - 1;
    return { token, what: `${show(one?.text)} | ${show(other?.text)}` };
  }
  if (a.tokens !== b.tokens) {
    return { token: Math.min(a.tokens, b.tokens), what: `${a.tokens} tokens | ${b.tokens}` };
  }
  if (a.finish !== b.finish) return { token: a.tokens, what: `ends by ${a.finish} | ${b.finish}` };
  return null;
}

function show(text: string | undefined): string {
  if (text === undefined) return 'end';
  return JSON.stringify(text.length > 24 ? `${text.slice(0, 24).toWellFormed()}…` : text);
}

/** Why the disaggregated transcript proves nothing although it may be right; null: it does. */
export function shortfall(split: Transcript, whole: Transcript): string | null {
  if (split.timing.route !== 'disaggregated') return `went by route ${split.timing.route}`;
  if (whole.timing.route !== 'aggregated') return `the other went by route ${whole.timing.route}`;
  // A generation that ends with its first token never leaves the context worker.
  if (split.tokens > 1 && split.timing.kv_path === 'none') return 'its KV was lost on the way';
  return null;
}
