// One request inside the engine. There is no prefill state and no decode state: a sequence has `ids`
// and has `computed` so many of them, and is that many tokens behind. Many behind: a prompt chunk.
// One behind: a row of the decode batch. A KV import just moves `computed`.

import type { Guide } from '../grammar/guide.ts';
import type { FinishReason, Sampling, TokenLogprobs } from '../protocol/request.ts';
import { askNext } from './constraint.ts';

export type Sequence = {
  readonly requestId: string;
  /** `prefill`: ends with the first token and an export. `generate`: goes on to the finish. */
  readonly kind: 'prefill' | 'generate';
  readonly promptLength: number;
  /**
   * Ids that came with the request: the prompt, and where it goes on with another worker's answer the
   * tokens that are out already. Their KV is what a hand-over carries.
   */
  readonly givenLength: number;
  /** Prompt, then what was generated, here or before. */
  readonly ids: number[];
  readonly sampling: Sampling;
  /** Lower is served sooner; 0 unless the client says. */
  readonly priority: number;
  /** Others with this prompt follow. */
  readonly shared: boolean;
  /** KV is shared only among sequences of one salt; undefined: of none. */
  readonly salt: string | undefined;
  /** Prompt tokens whose logprobs have left, where they were asked for. */
  scoredCount: number;
  /** Of the given tokens those that were known and not computed, when it first got a slot. */
  cachedTokens: number;
  /** Positions whose KV is in the slot. */
  computed: number;
  slot: number | null;
  /** Keeps its slot and waits for KV from elsewhere. */
  awaitsImport: boolean;
  /** Its client reads too slowly: it is left out until it has caught up. */
  isPaused: boolean;
  /** KV that has come from elsewhere. */
  importedBytes: number;
  /** Of a prefill: how its KV will leave. */
  kvPath: 'shm' | 'object';
  readonly arrivedMs: number;
  /** When it was given its slot; null before. */
  admittedMs: number | null;
  /** When its first chunk began; null before. */
  startedMs: number | null;
  /** Of the token just sampled, where asked for; leaves with it. */
  logprobs: TokenLogprobs | null;
  /** Which of the request's stop tokens ended it. */
  stopToken: number | null;
  /** Of the request's grammar; null: it has none. */
  readonly guide: Guide | null;
  /** Its next mask was not there when it was wanted: it keeps its slot and sits out. */
  awaitsMask: boolean;
};

export function createSequence(
  request: {
    readonly requestId: string;
    readonly promptIds: readonly number[];
    readonly emittedIds?: readonly number[] | undefined;
    readonly sampling: Sampling;
    readonly priority: number;
    readonly shared?: boolean | undefined;
    readonly cacheSalt?: string | undefined;
  },
  options: {
    kind: 'prefill' | 'generate';
    awaitsImport: boolean;
    nowMs: number;
    guide?: Guide | null;
  },
): Sequence {
  const { promptIds, emittedIds = [] } = request;
  return {
    requestId: request.requestId,
    kind: options.kind,
    promptLength: promptIds.length,
    givenLength: promptIds.length + emittedIds.length,
    ids: [...promptIds, ...emittedIds],
    sampling: request.sampling,
    priority: request.priority,
    shared: request.shared ?? false,
    salt: request.cacheSalt,
    // They leave before the first token does.
    scoredCount: emittedIds.length === 0 ? 0 : promptIds.length - 1,
    cachedTokens: 0,
    computed: 0,
    slot: null,
    awaitsImport: options.awaitsImport,
    isPaused: false,
    importedBytes: 0,
    kvPath: 'shm',
    arrivedMs: options.nowMs,
    admittedMs: null,
    startedMs: null,
    logprobs: null,
    stopToken: null,
    guide: options.guide ?? null,
    awaitsMask: false,
  };
}

/** A token, or that the answer has ended before it. */
export type Chosen = number | FinishReason;

/** Tokens whose KV is still to be computed. */
export function behind(sequence: Sequence): number {
  return sequence.ids.length - sequence.computed;
}

/** Positions of its slot that it may write: one that waits for KV has a dummy row behind its prompt. */
export function rowCount({ ids, awaitsImport }: Sequence): number {
  return ids.length + (awaitsImport ? 1 : 0);
}

export function generatedCount(sequence: Sequence): number {
  return sequence.ids.length - sequence.promptLength;
}

/** No token was chosen here yet. */
export function isUntouched({ ids, givenLength }: Sequence): boolean {
  return ids.length === givenLength;
}

/** Logprobs of prompt tokens are still wanted: the chunk needs a row of logits for each token. */
export function scores({ sampling, promptLength, scoredCount }: Sequence): boolean {
  return sampling.promptLogprobs !== null && scoredCount < promptLength - 1;
}

/** The largest token id that a request names anywhere; `ids` are those it was given. */
export function largestId(ids: readonly number[], sampling: Sampling): number {
  const biased = sampling.logitBias.reduce((top, [id]) => Math.max(top, id), 0);
  const named = [sampling.stopTokenIds, sampling.allowedTokenIds ?? [], ...sampling.badWords];
  const most = named.flat().reduce((top, id) => Math.max(top, id), biased);
  return ids.reduce((top, id) => Math.max(top, id), most);
}

/**
 * Ids that the next token must not be: whatever ends the answer, until `minTokens` are out, and what
 * would complete a bad word. Bad words are looked for in the answer alone, as vLLM does.
 */
export function bannedIds(sequence: Sequence, eosIds: readonly number[]): readonly number[] {
  const { minTokens, stopTokenIds, badWords } = sequence.sampling;
  const isEarly = generatedCount(sequence) < minTokens;
  if (!isEarly && badWords.length === 0) return noIds;
  const bad = badWords.flatMap((word) => word.slice(endsIn(sequence, word) ? -1 : word.length));
  return isEarly ? [...eosIds, ...stopTokenIds, ...bad] : bad;
}
const noIds: readonly number[] = [];

/** The answer ends in all of `word` but its last token. */
function endsIn(sequence: Sequence, word: readonly number[]): boolean {
  const begin = sequence.ids.length - word.length + 1;
  if (begin < sequence.promptLength) return false;
  return word.slice(0, -1).every((id, i) => sequence.ids[begin + i] === id);
}

/**
 * Takes the sampled token in, or that there is none any more. A stop token ends the sequence and is not
 * among its ids. Where a grammar is over, so is the answer, whatever `ignoreEos` and `minTokens` say:
 * nothing else is allowed. Where that is not known yet, the next step finds the end.
 */
export function appendToken(
  sequence: Sequence,
  token: Chosen,
  eosIds: readonly number[],
): FinishReason | null {
  if (typeof token === 'string') return token;
  const { guide } = sequence;
  const heedsEos = !sequence.sampling.ignoreEos || guide !== null;
  if (heedsEos && eosIds.includes(token)) return 'stop';
  if (sequence.sampling.stopTokenIds.includes(token)) {
    sequence.stopToken = token;
    return 'stop';
  }
  sequence.ids.push(token);
  if (guide !== null) return askNext(sequence);
  return generatedCount(sequence) >= sequence.sampling.maxTokens ? 'length' : null;
}
