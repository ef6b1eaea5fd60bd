// A request's grammar in the engine: which logits stay in the running, and what to do where nothing of
// them is left. What a grammar means is grammar/'s business.

import type { Grammars, Guide, TokenMask } from '../grammar/guide.ts';
import type { GrammarSpec } from '../protocol/grammar.ts';
import type { FinishReason } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import type { Row } from './row.ts';

/** Null: the request has no grammar. Throws a Fault where it has one that cannot be used. */
export function openGuide(spec: GrammarSpec | null, grammars: Grammars | undefined): Guide | null {
  if (spec === null) return null;
  if (grammars !== undefined) return grammars.open(spec);
  throw new Fault('invalid_request', 'this worker cannot hold answers to a grammar');
}

/** Takes every token out of the running that the grammar does not allow; past the mask, all. */
export function applyMask({ logits, begin, end }: Row, allowed: Allowed): void {
  const { words } = allowed.mask;
  const ends = allowed.endIds.map((id) => logits[begin + id] ?? Number.NEGATIVE_INFINITY);
  const count = end - begin;
  for (let first = 0; first < count; first += 32) {
    const word = words[first >> 5] ?? 0;
    const last = Math.min(first + 32, count);
    if (word === 0) logits.fill(Number.NEGATIVE_INFINITY, begin + first, begin + last);
    else if (word !== 0xffff_ffff) {
      for (let id = first; id < last; id++) {
        if (((word >>> (id & 31)) & 1) === 0) logits[begin + id] = Number.NEGATIVE_INFINITY;
      }
    }
  }
  for (const [i, id] of allowed.endIds.entries()) logits[begin + id] = ends[i] ?? 0;
}

/** What may come next. */
export type Allowed = {
  readonly mask: TokenMask;
  /** End-of-sequence tokens, where it may end. */
  readonly endIds: readonly number[];
};

/** What of a sequence decides. */
type Guided = {
  readonly ids: readonly number[];
  readonly promptLength: number;
  readonly sampling: { readonly maxTokens: number };
  readonly guide: Guide | null;
};

/**
 * What may follow in the sequence; null: anything. Or why nothing follows any more, or `late`: the mask
 * is not there yet. Throws a Fault where nothing can follow though something must.
 */
export function allowedNext(
  sequence: Guided,
  eosIds: readonly number[],
): Allowed | FinishReason | 'late' | null {
  if (sequence.guide === null) return null;
  const mask = maskOrEnd(sequence, sequence.guide);
  if (mask === null) return 'late';
  if (typeof mask === 'string') return mask;
  const endIds = mask.mayEnd ? eosIds : [];
  if (!mask.isEmpty || endIds.length > 0) return { mask, endIds };
  throw new Fault(
    'invalid_request',
    "no token of this model can go on with the request's grammar; allow other characters",
  );
}

/** Asks for the next mask, and says whether the answer has ended, as far as that is known at once. */
export function askNext(sequence: Guided): FinishReason | null {
  if (sequence.guide === null) return null;
  try {
    const mask = maskOrEnd(sequence, sequence.guide);
    return typeof mask === 'string' ? mask : null;
  } catch (thrown) {
    if (thrown instanceof Fault) return null; // `allowedNext` says it
    throw thrown;
  }
}

/** An answer that is over at its last token has not been cut. */
function maskOrEnd(
  { ids, promptLength, sampling }: Guided,
  guide: Guide,
): TokenMask | FinishReason | null {
  const isSpent = ids.length - promptLength >= sampling.maxTokens;
  try {
    const mask = guide.mask(ids, promptLength);
    if (mask === null) return null;
    if (mask.isEmpty && mask.mayEnd) return 'stop';
    return isSpent ? 'length' : mask;
  } catch (thrown) {
    if (isSpent && thrown instanceof Fault) return 'length';
    throw thrown;
  }
}

/**
 * The token if it is allowed, else the first that is: what `min_tokens`, an infinite penalty or a broken
 * model can leave is a row without a single finite logit.
 */
export function heldTo(token: number, { mask, endIds }: Allowed): number {
  if (isIn(mask, token) || endIds.includes(token)) return token;
  const word = mask.words.findIndex((bits) => bits !== 0);
  if (word < 0) return endIds[0] ?? token;
  const bits = mask.words[word] ?? 0;
  return word * 32 + 31 - Math.clz32(bits & -bits);
}

function isIn({ words }: TokenMask, token: number): boolean {
  return (((words[token >> 5] ?? 0) >>> (token & 31)) & 1) === 1;
}
