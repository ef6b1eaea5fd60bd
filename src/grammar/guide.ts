// What holds sequences to their grammars, as an engine sees it. Nothing here waits: a mask that is not
// known yet is null, and is being worked out from then on. Where a sequence stands follows from its ids
// alone, so whatever does the work may forget everything at any time.

import type { GrammarSpec } from '../protocol/grammar.ts';

/** A bit for each token, id i's in word i >> 5. */
export type TokenMask = {
  readonly words: Uint32Array;
  /** No token can follow. */
  readonly isEmpty: boolean;
  /** What is there so far is a whole text of the grammar: it may end here. */
  readonly mayEnd: boolean;
};

/** Of one sequence. */
export type Guide = {
  /**
   * Which tokens may follow `ids`, of which those from `begin` on were generated; null: not known yet.
   * Ids are only ever added. Throws a Fault where it cannot be known.
   */
  mask(ids: readonly number[], begin: number): TokenMask | null;
  /** The sequence has ended. */
  close(): void;
};

export type Grammars = {
  /** A guide at the beginning; throws a Fault where the grammar is wrong, at once or with a mask. */
  open(spec: GrammarSpec): Guide;
};

/** Says whether a grammar can be held to; rejects with a Fault `invalid_request` where it cannot. */
export type GrammarCheck = {
  check(spec: GrammarSpec): Promise<void>;
};
