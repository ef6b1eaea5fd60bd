// The two shapes of a chat answer: one `chat.completion`, or `chat.completion.chunk`s. Load
// generators read `choices[0]` of every chunk, so only the usage chunk that was asked for has none.

import type { FinishReason } from '../protocol/request.ts';
import type { Piece } from './reply.ts';
import type { AnswerHead, ChunkOptions, ChunkUsage, Shape } from './shape.ts';
import type { Alternative, SentToken } from './token-trail.ts';
import type { Usage } from './usage.ts';

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
  readonly usage?: ChunkUsage;
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

export const chatShape: Shape = {
  idPrefix: 'chatcmpl',
  opening: (head, { index, usage }) =>
    chatChunk(head, [choiceOf(index, { role: 'assistant', content: '' })], usage),
  chunk: pieceChunk,
  usageChunk: (head, usage) => chatChunk(head, [], usage),
  whole: completion,
};

/** The role goes out once, with the first text, so that a client's first chunk is a first token. */
function pieceChunk(head: AnswerHead, piece: Piece, options: ChunkOptions): ChatChunk {
  const { index, first, usage } = options;
  const role = first ? ({ role: 'assistant' } as const) : {};
  const content = first || piece.text !== '' ? { content: piece.text } : {};
  const logprobs = piece.tokens?.length ? logprobsOf(piece.tokens) : null;
  const choice = { ...choiceOf(index, { ...role, ...content }), logprobs };
  const end =
    piece.finish === null ? {} : { finish_reason: piece.finish, stop_reason: piece.stopReason };
  return chatChunk(head, [{ ...choice, ...end }], usage);
}

type ChatChoice = ChatChunk['choices'][number];

function choiceOf(index: number, delta: Delta): ChatChoice {
  return { index, delta, logprobs: null, finish_reason: null };
}

function chatChunk(
  { id, ...rest }: AnswerHead,
  choices: readonly ChatChoice[],
  usage: ChunkUsage,
): ChatChunk {
  const paid = usage === undefined ? {} : { usage };
  return { id, object: 'chat.completion.chunk', ...rest, choices, ...paid };
}

function completion(
  { id, ...rest }: AnswerHead,
  all: readonly (readonly Piece[])[],
  usage: Usage,
): ChatCompletion {
  const choices = all.map((pieces, index) => {
    const text = pieces.map((piece) => piece.text).join('');
    const last = pieces.at(-1);
    const hasTokens = last !== undefined && last.tokens !== null;
    return {
      index,
      message: { role: 'assistant', content: text, refusal: null } as const,
      logprobs: hasTokens ? logprobsOf(pieces.flatMap(({ tokens }) => tokens ?? [])) : null,
      finish_reason: last?.finish ?? 'length',
      stop_reason: last?.stopReason ?? null,
    };
  });
  return { id, object: 'chat.completion', ...rest, choices, usage };
}

function logprobsOf(tokens: readonly SentToken[]): Logprobs {
  const entry = ({ token, logprob, bytes }: Alternative): TokenEntry => ({ token, logprob, bytes });
  const content = tokens.map((sent) => ({ ...entry(sent), top_logprobs: sent.top.map(entry) }));
  return { content, refusal: null };
}
