// What a stage makes of a piece's text, and the bookkeeping that all such stages share: tokens whose
// text is still held back go with the next thing that is said, and the end with the last.

import type { Piece } from './reply.ts';
import type { Stage } from './stage.ts';
import type { SentToken } from './token-trail.ts';

/** A part of a tool call; calls of an answer are numbered. */
export type CallDelta = {
  readonly index: number;
  /** On the first part of each call, and never again. */
  readonly begin: { readonly id: string; readonly name: string } | null;
  /** More of the JSON of its arguments. */
  readonly arguments: string;
};

export type Said = Pick<Piece, 'text' | 'reasoning' | 'call'>;

export type Reading = {
  read(piece: Piece): readonly Said[];
  /** How many of the tokens of the piece that was just read are thoughts. */
  thoughtTokens?(piece: Piece): number;
  /** Of the last piece, after it was read. */
  finish?(finish: NonNullable<Piece['finish']>): NonNullable<Piece['finish']>;
};

export function readingStage(reading: Reading): Stage {
  let ids: number[] = [];
  let tokens: SentToken[] = [];
  let thoughtTokens = 0;
  return (piece) => {
    ids.push(...piece.ids);
    tokens.push(...(piece.tokens ?? []));
    const parts = reading.read(piece);
    thoughtTokens += (piece.thoughtTokens ?? 0) + (reading.thoughtTokens?.(piece) ?? 0);
    if (parts.length === 0 && piece.finish === null) return [];
    const said = parts.length === 0 ? [{ text: '' }] : parts;
    const finish = piece.finish === null ? null : (reading.finish?.(piece.finish) ?? piece.finish);
    const waiting = { ids, tokens, ...(thoughtTokens === 0 ? {} : { thoughtTokens }) };
    thoughtTokens = 0;
    ids = [];
    tokens = [];
    return said.map((part, index) => {
      const isLast = index === said.length - 1;
      const own = index === 0 ? waiting : { ids: [], tokens: [] };
      return {
        ...part,
        ...own,
        tokens: piece.tokens === null ? null : own.tokens,
        finish: isLast ? finish : null,
        stopReason: isLast ? piece.stopReason : null,
      };
    });
  };
}
