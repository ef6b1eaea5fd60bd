// The two shapes of a chat answer: one `chat.completion`, or `chat.completion.chunk`s. Load
// generators read `choices[0]` of every chunk, so only the usage chunk that was asked for has none.

import type { FinishReason } from '../protocol/request.ts';
import type { Piece } from './reply.ts';
import type { Alternative, SentToken } from './token-trail.ts';
import type { Usage } from './usage.ts';

/** What all chunks of an answer share (`id` and `object` are written first, as OpenAI does). */
export type AnswerHead = {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
};

type TokenEntry = {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[] | null;
};

export type Logprobs = {
  readonly content: readonly (TokenEntry & { readonly top_logprobs: readonly TokenEntry[] })[];
  readonly refusal: null;
};

export type Delta = { readonly role?: 'assistant'; readonly content?: string };

export type ChatChunk = AnswerHead & {
  readonly object: 'chat.completion.chunk';
  readonly choices: readonly {
    readonly index: number;
    readonly delta: Delta;
    readonly logprobs: Logprobs | null;
    readonly finish_reason: FinishReason | null;
    /** On the finish: vLLM's name for the stop string or stop token that ended it. */
    readonly stop_reason?: string | number | null;
  }[];
  /** Null on all but the last chunk of an answer whose usage was asked for; absent where it was not. */
  readonly usage?: Usage | null;
};

export type ChatCompletion = AnswerHead & {
  readonly object: 'chat.completion';
  readonly choices: readonly {
    readonly index: number;
    readonly message: {
      readonly role: 'assistant';
      readonly content: string;
      readonly refusal: null;
    };
    readonly logprobs: Logprobs | null;
    readonly finish_reason: FinishReason;
    readonly stop_reason: string | number | null;
  }[];
  readonly usage: Usage;
};

/** The role goes out once, with the first text, so that a client's first chunk is a first token. */
export function pieceChunk(
  head: AnswerHead,
  piece: Piece,
  options: { readonly first: boolean; readonly usage: Usage | null | undefined },
): ChatChunk {
  const { first, usage } = options;
  const { id, ...rest } = head;
  const role = first ? ({ role: 'assistant' } as const) : {};
  const content = first || piece.text !== '' ? { content: piece.text } : {};
  const logprobs = piece.tokens?.length ? logprobsOf(piece.tokens) : null;
  const choice = { index: 0, delta: { ...role, ...content }, logprobs };
  const stopReason = piece.finish === null ? {} : { stop_reason: piece.stopReason };
  return {
    id,
    object: 'chat.completion.chunk',
    ...rest,
    choices: [{ ...choice, finish_reason: piece.finish, ...stopReason }],
    ...(usage === undefined ? {} : { usage }),
  };
}

export function usageChunk(head: AnswerHead, usage: Usage): ChatChunk {
  const { id, ...rest } = head;
  return { id, object: 'chat.completion.chunk', ...rest, choices: [], usage };
}

export function completion(
  head: AnswerHead,
  pieces: readonly Piece[],
  usage: Usage,
): ChatCompletion {
  const { id, ...rest } = head;
  const text = pieces.map((piece) => piece.text).join('');
  const message = { role: 'assistant', content: text, refusal: null } as const;
  const last = pieces.at(-1);
  const hasTokens = last !== undefined && last.tokens !== null;
  const choice = {
    index: 0,
    message,
    logprobs: hasTokens ? logprobsOf(pieces.flatMap(({ tokens }) => tokens ?? [])) : null,
    finish_reason: last?.finish ?? 'length',
    stop_reason: last?.stopReason ?? null,
  };
  return { id, object: 'chat.completion', ...rest, choices: [choice], usage };
}

function logprobsOf(tokens: readonly SentToken[]): Logprobs {
  const entry = ({ token, logprob, bytes }: Alternative): TokenEntry => ({ token, logprob, bytes });
  const content = tokens.map((sent) => ({ ...entry(sent), top_logprobs: sent.top.map(entry) }));
  return { content, refusal: null };
}
