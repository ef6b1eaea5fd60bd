// The two shapes of a chat answer: one `chat.completion`, or `chat.completion.chunk`s. Load
// generators read `choices[0]` of every chunk, so only the usage chunk that was asked for has none.

import type { FinishReason } from '../protocol/request.ts';
import type { Piece } from './reply.ts';
import type { Usage } from './usage.ts';

/** What all chunks of an answer share (`id` and `object` are written first, as OpenAI does). */
export type AnswerHead = {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
};

export type Delta = { readonly role?: 'assistant'; readonly content?: string };

export type ChatChunk = AnswerHead & {
  readonly object: 'chat.completion.chunk';
  readonly choices: readonly {
    readonly index: number;
    readonly delta: Delta;
    readonly logprobs: null;
    readonly finish_reason: FinishReason | null;
  }[];
  readonly usage?: Usage;
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
    readonly logprobs: null;
    readonly finish_reason: FinishReason;
  }[];
  readonly usage: Usage;
};

/** The role goes out once, with the first text, so that a client's first chunk is a first token. */
export function pieceChunk(
  head: AnswerHead,
  piece: Piece,
  options: { readonly first: boolean; readonly usage: Usage | null },
): ChatChunk {
  const { first, usage } = options;
  const { id, ...rest } = head;
  const role = first ? ({ role: 'assistant' } as const) : {};
  const content = first || piece.text !== '' ? { content: piece.text } : {};
  const choice = { index: 0, delta: { ...role, ...content }, logprobs: null };
  return {
    id,
    object: 'chat.completion.chunk',
    ...rest,
    choices: [{ ...choice, finish_reason: piece.finish }],
    ...(usage === null ? {} : { usage }),
  };
}

export function usageChunk(head: AnswerHead, usage: Usage): ChatChunk {
  const { id, ...rest } = head;
  return { id, object: 'chat.completion.chunk', ...rest, choices: [], usage };
}

export function completion(
  head: AnswerHead,
  answer: { readonly text: string; readonly finish: FinishReason; readonly usage: Usage },
): ChatCompletion {
  const { id, ...rest } = head;
  const message = { role: 'assistant', content: answer.text, refusal: null } as const;
  return {
    id,
    object: 'chat.completion',
    ...rest,
    choices: [{ index: 0, message, logprobs: null, finish_reason: answer.finish }],
    usage: answer.usage,
  };
}
