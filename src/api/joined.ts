// A choice that is complete, as one piece.

import type { Piece } from './reply.ts';

export function joined(pieces: readonly Piece[]): Piece {
  const last = pieces.at(-1);
  const reasoning = pieces.map((piece) => piece.reasoning ?? '').join('');
  const hasTokens = last !== undefined && last.tokens !== null;
  return {
    text: pieces.map(({ text }) => text).join(''),
    tokens: hasTokens ? pieces.flatMap(({ tokens }) => tokens ?? []) : null,
    ...(reasoning === '' ? {} : { reasoning }),
    ids: pieces.flatMap(({ ids }) => ids),
    finish: last?.finish ?? 'length',
    stopReason: last?.stopReason ?? null,
  };
}
