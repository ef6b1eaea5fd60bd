// The two shapes of a completion's answer, both called `text_completion`. Logprobs are parallel lists;
// text_offset counts characters as Python does (code points) from the choice's beginning, across chunks.

import { joined } from './joined.ts';
import type { Piece } from './reply.ts';
import type { AnswerHead, ChunkUsage, Shape } from './shape.ts';
import { nameOf } from './token-name.ts';
import type { SentToken } from './token-trail.ts';

export type CompletionLogprobs = {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
  readonly text_offset: readonly number[];
};

export type CompletionChoice = {
  readonly index: number;
  readonly text: string;
  readonly logprobs: CompletionLogprobs | null;
  readonly finish_reason: Piece['finish'];
  /** On the finish: vLLM's name for the stop string or stop token that ended it. */
  readonly stop_reason?: string | number | null;
  readonly prompt_token_ids?: readonly number[];
  readonly token_ids?: readonly number[];
};

export type CompletionOptions = {
  readonly namesById: boolean;
  /** Null: ids are not wanted. */
  readonly promptIdsOf: ((index: number) => readonly number[]) | null;
};

/** Made anew for each answer: it counts the text of its choices. */
export function completionShape(options: CompletionOptions): Shape {
  const offsets = new Map<number, number>();
  const choiceOf = (index: number, piece: Piece, first: boolean): CompletionChoice => {
    const begin = offsets.get(index) ?? 0;
    const { logprobs, end } = logprobsOf(piece, begin, options.namesById);
    offsets.set(index, end);
    const { finish } = piece;
    const ids =
      options.promptIdsOf === null
        ? {}
        : {
            ...(first ? { prompt_token_ids: options.promptIdsOf(index) } : {}),
            token_ids: piece.ids,
          };
    const stop = finish === null ? {} : { stop_reason: piece.stopReason };
    return { index, text: piece.text, logprobs, finish_reason: finish, ...stop, ...ids };
  };
  return {
    name: 'completion',
    idPrefix: 'cmpl-',
    opening: () => null,
    chunk: (head, piece, { index, first, usage }) => {
      const choice = choiceOf(index, piece, first);
      const logprobs = piece.tokens?.length ? choice.logprobs : null;
      return [answer(head, [{ ...choice, logprobs }], usage)];
    },
    usageChunk: (head, usage) => answer(head, [], usage),
    whole: (head, all, usage) =>
      answer(
        head,
        all.map((pieces, index) => choiceOf(index, joined(pieces), true)),
        usage,
      ),
  };
}

function answer(
  { id, ...rest }: AnswerHead,
  choices: readonly CompletionChoice[],
  usage: ChunkUsage,
): object {
  const paid = usage === undefined ? {} : { usage };
  return { id, object: 'text_completion', ...rest, choices, ...paid };
}

function logprobsOf(
  { text, tokens }: Piece,
  begin: number,
  namesById: boolean,
): { readonly logprobs: CompletionLogprobs | null; readonly end: number } {
  const end = begin + [...text].length;
  if (tokens === null) return { logprobs: null, end };
  let offset = begin;
  const offsets = tokens.map((token) => {
    const at = offset;
    offset += [...token.text].length;
    return at;
  });
  return {
    end,
    logprobs: {
      tokens: tokens.map((token) => nameOf(token, namesById)),
      token_logprobs: tokens.map(({ logprob }) => logprob),
      top_logprobs: tokens.map((token) => topOf(token, namesById)),
      text_offset: offsets,
    },
  };
}

/** The token itself is among them, and no other that prints alike takes its place. */
function topOf(token: SentToken, namesById: boolean): Readonly<Record<string, number>> | null {
  if (token.logprob === null) return null;
  const entries = new Map([[nameOf(token, namesById), token.logprob]]);
  for (const other of token.top) {
    if (other.id === token.id) continue;
    const name = nameOf(other, namesById);
    entries.set(entries.has(name) ? nameOf(other, true) : name, other.logprob);
  }
  return Object.fromEntries(entries);
}
