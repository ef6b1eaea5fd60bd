// How an answer looks on the wire. One body for each route: chat.completion (chunk.ts), text_completion
// (completion-shape.ts), response (response-shape.ts). Turn decides what is said when, a shape only how.

import type { Piece } from './reply.ts';
import type { Framing } from './sse.ts';
import type { Usage } from './usage.ts';

/** What all chunks of an answer share (`id` and `object` are written first, as OpenAI does). */
export type AnswerHead = {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
};

/** Null on all but the last chunk of an answer whose usage was asked for; absent where it was not. */
export type ChunkUsage = Usage | null | undefined;

export type ChunkOptions = {
  readonly index: number;
  /** Nothing of this choice has left before. */
  readonly first: boolean;
  readonly usage: ChunkUsage;
};

export type Shape = {
  /** In the log. */
  readonly name: string;
  /** Before the name of an answer's id, with what divides them. */
  readonly idPrefix: string;
  /** Sent for each choice, in order, before any text of several; null: nothing. */
  opening(head: AnswerHead, options: ChunkOptions): object | null;
  /** What is sent for a piece, in order. */
  chunk(head: AnswerHead, piece: Piece, options: ChunkOptions): readonly object[];
  /** The last chunk of a stream whose usage was asked for. */
  usageChunk(head: AnswerHead, usage: Usage): object;
  whole(head: AnswerHead, choices: readonly (readonly Piece[])[], usage: Usage): object;
  /** How its events look; absent: as a chat's. */
  readonly framing?: Framing;
};
