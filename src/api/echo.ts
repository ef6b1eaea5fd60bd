// The stage that puts a text before an answer: a completion's prompt, or the message that a chat goes
// on from. It leaves with the answer's first piece.

import type { Piece } from './reply.ts';
import type { Stage } from './stage.ts';
import type { SentToken } from './token-trail.ts';

export type Echo = {
  readonly text: string;
  /** Null where nobody asked for logprobs. */
  readonly tokens: readonly SentToken[] | null;
};

/** @param echoOf called when the first piece is here. */
export function echoStage(echoOf: () => Echo): Stage {
  let isFirst = true;
  return (piece: Piece): readonly Piece[] => {
    if (!isFirst) return [piece];
    isFirst = false;
    const { text, tokens } = echoOf();
    const all = piece.tokens === null ? null : [...(tokens ?? []), ...piece.tokens];
    return [{ ...piece, text: text + piece.text, tokens: all }];
  };
}
