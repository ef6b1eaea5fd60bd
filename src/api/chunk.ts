// The two shapes of a chat answer: one `chat.completion`, or `chat.completion.chunk`s. Load
// generators read `choices[0]` of every chunk, so only the usage chunk that was asked for has none.

import { type FinishReason, logprobMin } from '../protocol/request.ts';
import { joined } from './joined.ts';
import type { Piece } from './reply.ts';
import type { CallDelta } from './said.ts';
import type { AnswerHead, ChunkOptions, ChunkUsage, Shape } from './shape.ts';
import { nameOf } from './token-name.ts';
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

/** Thoughts have two names: `reasoning_content` is the older one, and both are read. */
type Thoughts = { readonly reasoning?: string; readonly reasoning_content?: string };

type DeltaCall = {
  readonly index: number;
  readonly id?: string;
  readonly type?: 'function';
  readonly function: { readonly name?: string; readonly arguments: string };
};

export type Delta = Thoughts & {
  readonly role?: 'assistant';
  readonly content?: string | null;
  readonly tool_calls?: readonly DeltaCall[];
};

type MessageCall = {
  readonly id: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
};

type Message = Thoughts & {
  readonly role: 'assistant';
  /** Null where there are only calls, or only thoughts. */
  readonly content: string | null;
  readonly refusal: null;
  readonly tool_calls?: readonly MessageCall[];
};

type ChatFinish = FinishReason | 'tool_calls';

export type ChatChunk = AnswerHead & {
  readonly object: 'chat.completion.chunk';
  readonly choices: readonly {
    readonly index: number;
    readonly delta: Delta;
    readonly logprobs: Logprobs | null;
    readonly finish_reason: ChatFinish | null;
    /** On the finish: vLLM's name for the stop string or stop token that ended it. */
    readonly stop_reason?: string | number | null;
    readonly token_ids?: readonly number[];
  }[];
  readonly prompt_token_ids?: readonly number[];
  readonly usage?: ChunkUsage;
};

export type ChatCompletion = AnswerHead & {
  readonly object: 'chat.completion';
  readonly choices: readonly {
    readonly index: number;
    readonly message: Message;
    readonly logprobs: Logprobs | null;
    readonly finish_reason: ChatFinish;
    readonly stop_reason: string | number | null;
    readonly token_ids?: readonly number[];
  }[];
  readonly prompt_token_ids?: readonly number[];
  readonly usage: Usage;
};

export type ChatOptions = {
  readonly namesById: boolean;
  /** Null: ids are not wanted. */
  readonly promptIds: readonly number[] | null;
};

/** The role goes out once, with the first text, so that a client's first chunk is a first token. */
export function chatShape({ namesById, promptIds }: ChatOptions): Shape {
  const asked = promptIds === null ? {} : { prompt_token_ids: promptIds };
  const opening = (head: AnswerHead, { index, usage }: ChunkOptions): ChatChunk => {
    const delta = { role: 'assistant', content: '' } as const;
    const choice = { index, delta, logprobs: null, finish_reason: null };
    return chatChunk(head, [choice], usage, index === 0 ? asked : {});
  };
  const chunk = (head: AnswerHead, piece: Piece, options: ChunkOptions): ChatChunk[] => {
    const { index, first, usage } = options;
    const logprobs = piece.tokens?.length ? logprobsOf(piece.tokens, namesById) : null;
    const choice = {
      index,
      delta: deltaOf(piece, first),
      logprobs,
      finish_reason: piece.finish,
      ...(piece.finish === null ? {} : { stop_reason: piece.stopReason }),
      ...(promptIds === null ? {} : { token_ids: piece.ids }),
    };
    return [chatChunk(head, [choice], usage, first ? asked : {})];
  };
  const whole = (
    { id, ...rest }: AnswerHead,
    all: readonly (readonly Piece[])[],
    usage: Usage,
  ): ChatCompletion => {
    const choices = all.map((pieces, index) => {
      const { tokens, ids, finish, stopReason } = joined(pieces);
      return {
        index,
        message: messageOf(pieces),
        logprobs: tokens === null ? null : logprobsOf(tokens, namesById),
        finish_reason: finish ?? 'length',
        stop_reason: stopReason,
        ...(promptIds === null ? {} : { token_ids: ids }),
      };
    });
    return { id, object: 'chat.completion', ...rest, choices, ...asked, usage };
  };
  const usageChunk = (head: AnswerHead, usage: Usage): ChatChunk => chatChunk(head, [], usage, {});
  return { name: 'chat', idPrefix: 'chatcmpl-', opening, chunk, usageChunk, whole };
}

function deltaOf({ text, reasoning, call }: Piece, first: boolean): Delta {
  const isOther = reasoning !== undefined || call !== undefined;
  const content = text === '' && isOther ? null : text;
  return {
    ...(first ? { role: 'assistant' } : {}),
    ...thoughts(reasoning ?? ''),
    ...(first || text !== '' ? { content } : {}),
    ...(call === undefined ? {} : { tool_calls: [deltaCall(call)] }),
  };
}

function deltaCall({ index, begin, arguments: json }: CallDelta): DeltaCall {
  if (begin === null) return { index, function: { arguments: json } };
  const { id, name } = begin;
  return { index, id, type: 'function', function: { name, arguments: json } };
}

function messageOf(pieces: readonly Piece[]): Message {
  const { text, reasoning = '' } = joined(pieces);
  const calls = callsOf(pieces);
  const isOther = reasoning !== '' || calls.length > 0;
  return {
    role: 'assistant',
    ...thoughts(reasoning),
    content: text === '' && isOther ? null : text,
    refusal: null,
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
}

function callsOf(pieces: readonly Piece[]): MessageCall[] {
  const calls: { id: string; name: string; arguments: string }[] = [];
  for (const { call } of pieces) {
    if (call === undefined) continue;
    if (call.begin !== null) calls.push({ ...call.begin, arguments: '' });
    const last = calls.at(-1);
    if (last !== undefined) last.arguments += call.arguments;
  }
  return calls.map(({ id, ...called }) => ({ id, type: 'function', function: called }));
}

function thoughts(reasoning: string): Thoughts {
  return reasoning === '' ? {} : { reasoning, reasoning_content: reasoning };
}

function chatChunk(
  { id, ...rest }: AnswerHead,
  choices: ChatChunk['choices'],
  usage: ChunkUsage,
  asked: { readonly prompt_token_ids?: readonly number[] },
): ChatChunk {
  const paid = usage === undefined ? {} : { usage };
  return { id, object: 'chat.completion.chunk', ...rest, choices, ...asked, ...paid };
}

export function logprobsOf(tokens: readonly SentToken[], namesById: boolean): Logprobs {
  const entry = (token: Alternative): TokenEntry => ({
    token: nameOf(token, namesById),
    logprob: token.logprob,
    bytes: token.bytes,
  });
  const content = tokens.map((sent) => ({
    ...entry({ ...sent, logprob: sent.logprob ?? logprobMin }),
    top_logprobs: sent.top.map(entry),
  }));
  return { content, refusal: null };
}
