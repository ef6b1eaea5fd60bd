// A Runner without a model: the next token is a pure function of the ids fed to a slot, in order. It
// keeps each slot's KV as the ids written there, row by row, so a scheduler that forgets a row, shares
// a slot, moves too little or trusts a passenger's dummy shows as a violation or as wrong tokens.

import type { Runner } from '../../src/engine/runner.ts';
import type { SlotMemory } from '../../src/engine/slot-memory.ts';
import { limit } from '../../src/protocol/limit.ts';
import type { FinishReason, Sampling } from '../../src/protocol/request.ts';
import { naiveToken } from './naive-sampler.ts';

export class FakeRunner implements Runner {
  readonly vocabSize: number;
  /** What no correct engine would have asked for. */
  readonly violations: string[] = [];
  /** Calls of `prefillTogether`. */
  togetherCount = 0;
  /** Called before each step; a test throws here to play a failing model. */
  onCall: (kind: 'prefill' | 'decode') => void = () => undefined;
  /** [slot][position] = the id whose KV lies there. Rows after a write are stale: cut off. */
  readonly #rows: number[][];
  /** Positions of each slot that the engine has said it uses. */
  readonly #touched: number[];
  readonly #capacity: number;
  readonly #stepTokens: number;
  readonly #tokensMax: number;
  readonly #logits: Float32Array;

  constructor(options: {
    slots: number;
    capacity: number;
    vocabSize: number;
    stepTokens: number;
    tokensMax: number;
  }) {
    this.vocabSize = options.vocabSize;
    this.#capacity = options.capacity;
    this.#stepTokens = options.stepTokens;
    this.#tokensMax = options.tokensMax;
    this.#touched = new Array<number>(options.slots).fill(0);
    this.#rows = Array.from({ length: options.slots }, () => []);
    this.#logits = new Float32Array(Math.max(options.slots, limit.scoreTokens) * options.vocabSize);
  }

  prefill(step: {
    slot: number;
    past: number;
    ids: readonly number[];
    everyRow?: boolean;
  }): Float32Array {
    this.onCall('prefill');
    const { slot, past, ids, everyRow = false } = step;
    if (ids.length === 0) this.#violate(`prefill of nothing in slot ${slot}`);
    if (ids.length > this.#stepTokens) this.#violate(`prefill of ${ids.length} tokens`);
    this.#write(slot, past, ids);
    this.#logits.fill(Number.NaN);
    const rows = everyRow ? ids.length : 1;
    if (rows > limit.scoreTokens) this.#violate(`${rows} rows of logits`);
    for (let row = 0; row < rows; row++) {
      const known = this.rows(slot, past + ids.length - rows + 1 + row);
      const begin = row * this.vocabSize;
      fakeLogits(known, this.#logits.subarray(begin, begin + this.vocabSize));
    }
    return this.#logits;
  }

  prefillTogether(step: { slot: number; prompts: readonly (readonly number[])[] }): Float32Array {
    this.onCall('prefill');
    this.togetherCount++;
    this.#logits.fill(Number.NaN);
    const { slot, prompts } = step;
    const longest = Math.max(...prompts.map((ids) => ids.length));
    if (longest * prompts.length > this.#stepTokens)
      this.#violate(`${longest} × ${prompts.length}`);
    for (const [i, ids] of prompts.entries()) {
      if (ids.length === 0) this.#violate(`prefill of nothing in slot ${slot + i}`);
      this.#write(slot + i, 0, ids);
      this.#checkTouched(slot + i, longest); // the padding is written too
      const begin = i * this.vocabSize;
      fakeLogits(ids, this.#logits.subarray(begin, begin + this.vocabSize));
    }
    return this.#logits;
  }

  decode(step: { count: number; ids: Int32Array; pasts: Int32Array }): Float32Array {
    this.onCall('decode');
    this.#logits.fill(Number.NaN); // nothing of an earlier call may be of use
    for (let slot = 0; slot < step.count; slot++) {
      this.#write(slot, step.pasts[slot] ?? -1, [step.ids[slot] ?? -1]);
      const begin = slot * this.vocabSize;
      fakeLogits(this.rows(slot), this.#logits.subarray(begin, begin + this.vocabSize));
    }
    return this.#logits;
  }

  /** What the pool does; but a slot that was moved from is empty, so that no one goes on there. */
  readonly memory: SlotMemory = {
    move: (from, to, tokens) => {
      if (from === to) this.#violate(`move of slot ${from} onto itself`);
      this.#rows[to] = [...this.rows(from, tokens)];
      this.#rows[from] = [];
    },
    touch: (slot, tokens) => {
      if (tokens > this.#capacity) this.#violate(`${tokens} positions of slot ${slot} touched`);
      this.#touched[slot] = Math.max(this.#touched[slot] ?? 0, tokens);
    },
    forget: (slot, keep) => {
      if ((this.#touched[slot] ?? 0) <= keep) return;
      this.#touched[slot] = keep;
      this.#rows[slot] = this.#rows[slot]?.slice(0, keep) ?? [];
    },
    residentTokens: () => this.#touched.reduce((a, b) => a + b, 0),
  };

  /** The first `count` rows of a slot, all of them unless told. */
  rows(slot: number, count?: number): readonly number[] {
    const rows = this.#rows[slot];
    if (rows === undefined) this.#violate(`slot ${slot} of ${this.#rows.length}`);
    if (count !== undefined && (rows?.length ?? 0) < count) {
      this.#violate(`${count} rows wanted of slot ${slot}, it has ${rows?.length}`);
    }
    return rows?.slice(0, count) ?? [];
  }

  /** Rows that come from elsewhere: an import, a cache. */
  setRows(slot: number, ids: readonly number[]): void {
    this.#rows[slot] = [...ids];
    this.#checkTouched(slot, ids.length);
  }

  /** A promise of the engine: it says first what it writes, and all that never is above the limit. */
  #checkTouched(slot: number, tokens: number): void {
    if (tokens > (this.#touched[slot] ?? 0)) this.#violate(`slot ${slot} written untouched`);
    const resident = this.memory.residentTokens();
    if (resident > this.#tokensMax) this.#violate(`${resident} positions in memory`);
  }

  #write(slot: number, past: number, ids: readonly number[]): void {
    const before = this.rows(slot, past);
    if (past + ids.length > this.#capacity) this.#violate(`slot ${slot} written past its end`);
    this.#rows[slot] = [...before, ...ids];
    this.#checkTouched(slot, past + ids.length);
  }

  #violate(what: string): never {
    this.violations.push(what);
    throw new Error(`fake runner: ${what}`);
  }
}

/** Logits in [0, 8) that depend on every id and on its place. */
export function fakeLogits(ids: readonly number[], into: Float32Array): Float32Array {
  let state = 0x811c_9dc5;
  for (const id of ids) state = Math.imul(state ^ (id + 1), 0x0100_0193) ^ (state >>> 15);
  for (let i = 0; i < into.length; i++) {
    let x = Math.imul(state ^ Math.imul(i + 1, 0x9e37_79b1), 0x85eb_ca6b);
    x = Math.imul(x ^ (x >>> 15), 0xc2b2_ae35);
    into[i] = ((x ^ (x >>> 13)) >>> 0) / 2 ** 29;
  }
  return into;
}

/** What a request must get, found one token at a time, without engine, slots or cache. */
export function expectedTokens(
  promptIds: readonly number[],
  sampling: Sampling,
  options: { vocabSize: number; eosIds: readonly number[] },
): { readonly ids: number[]; readonly finish: FinishReason } {
  const ids: number[] = [];
  while (ids.length < sampling.maxTokens) {
    const known = [...promptIds, ...ids];
    const logits = fakeLogits(known, new Float32Array(options.vocabSize));
    const ends = [...options.eosIds, ...sampling.stopTokenIds];
    const banned = ids.length < sampling.minTokens ? ends : [];
    const history = { ids: known, promptLength: promptIds.length };
    const token = naiveToken([...logits], { sampling, history, banned });
    if (options.eosIds.includes(token) && !sampling.ignoreEos) return { ids, finish: 'stop' };
    if (sampling.stopTokenIds.includes(token)) return { ids, finish: 'stop' };
    ids.push(token);
  }
  return { ids, finish: 'length' };
}
