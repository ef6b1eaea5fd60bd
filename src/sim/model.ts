// The simulation's model: the next token's logits are a hash of every id so far. It lives in the
// worker's real KV pool: each position's row holds its id and a digest of all ids up to it, so that a
// row that is missing, stale or somebody else's gives other logits, as wrong KV does.
//
//   row of a head, K and V alike: [id, digest of ids 0 … here (24 bits: exact in float32), 0 …]
//
// Rows are as long as they are so that slots take pages: memory that is given back is really lost.

import type { Runner } from '../engine/runner.ts';
import type { KvPool } from '../kv/pool.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { Fault } from '../std/fault.ts';
import { viewFloats } from '../std/memory.ts';

export const vocabSize = 48;
export const eosIds: readonly number[] = [0, 1];
export const modelDigest = '5d'.repeat(32);

/** Values of a head's row; the first two are used. */
const rowValues = 32;

export function geometryOf(blockTokens: number): Geometry {
  return { layers: 1, kvHeads: 1, headDim: rowValues, blockTokens };
}

/** What it costs to compute, in simulated ms; a slow worker multiplies it. */
export type Pace = { readonly callMs: number; readonly tokenMs: number; readonly rowMs: number };

export class SimRunner implements Runner {
  readonly vocabSize = vocabSize;
  /** The next call fails once, as a device does that has hiccups. */
  failsNext = false;
  readonly #pool: KvPool;
  readonly #pace: Pace;
  readonly #spend: (ms: number) => void;
  readonly #logits: Float32Array;
  /** [part][slot] → [capacity × rowValues] */
  readonly #rows: readonly (readonly Float32Array[])[];

  constructor(options: { pool: KvPool; pace: Pace; spend: (ms: number) => void }) {
    const { pool } = options;
    this.#pool = pool;
    this.#pace = options.pace;
    this.#spend = options.spend;
    this.#logits = new Float32Array(Math.max(pool.slots, 16) * vocabSize);
    this.#rows = ([0, 1] as const).map((part) =>
      Array.from({ length: pool.slots }, (_, slot) =>
        viewFloats(pool.slotAddress(0, part, slot), pool.capacity * rowValues),
      ),
    );
  }

  prefill({ slot, past, ids }: { slot: number; past: number; ids: readonly number[] }) {
    this.#begin(this.#pace.callMs + this.#pace.tokenMs * ids.length);
    this.#feed(slot, past, ids, 0);
    return this.#logits;
  }

  prefillTogether({ slot, prompts }: { slot: number; prompts: readonly (readonly number[])[] }) {
    const longest = Math.max(...prompts.map((ids) => ids.length));
    this.#begin(this.#pace.callMs + this.#pace.tokenMs * longest * prompts.length);
    for (const [i, ids] of prompts.entries()) {
      this.#feed(slot + i, 0, ids, i);
      // The padding is computed and written as well.
      for (let at = ids.length; at < longest; at++) this.#write(slot + i, at, 0, 0);
    }
    return this.#logits;
  }

  decode({ count, ids, pasts }: { count: number; ids: Int32Array; pasts: Int32Array }) {
    this.#begin(this.#pace.callMs + this.#pace.rowMs * count);
    for (let slot = 0; slot < count; slot++) {
      this.#feed(slot, pasts[slot] ?? 0, [ids[slot] ?? 0], slot);
    }
    return this.#logits;
  }

  #begin(ms: number): void {
    this.#spend(ms);
    if (!this.failsNext) return;
    this.failsNext = false;
    throw new Fault('engine', 'the simulated device failed');
  }

  /** Rows for the ids, and logits behind the last of them into row `into`. */
  #feed(slot: number, past: number, ids: readonly number[], into: number): void {
    let state = this.#stateAt(slot, past);
    for (const [i, id] of ids.entries()) {
      state = next(state, id);
      this.#write(slot, past + i, id, state);
    }
    const begin = into * vocabSize;
    for (let id = 0; id < vocabSize; id++) this.#logits[begin + id] = logit(state, id);
  }

  /** Attention sees every row: whatever is wrong with one of them changes the outcome. */
  #stateAt(slot: number, past: number): number {
    let state = 0;
    for (let at = 0; at < past; at++) {
      for (const part of this.#rows) {
        const rows = part[slot];
        const id = rows?.[at * rowValues] ?? -1;
        const digest = rows?.[at * rowValues + 1] ?? -1;
        if (part === this.#rows[0]) state = next(state, id);
        if (digest !== state) state = next(state, 0x5a5a);
      }
    }
    return state;
  }

  #write(slot: number, at: number, id: number, state: number): void {
    if (at >= this.#pool.capacity) throw new Error(`slot ${slot} written past its end`);
    for (const part of this.#rows) {
      const rows = part[slot];
      if (rows === undefined) throw new Error(`slot ${slot} of ${this.#pool.slots}`);
      rows[at * rowValues] = id;
      rows[at * rowValues + 1] = state;
    }
  }
}

function next(state: number, id: number): number {
  let x = Math.imul((state + 0x9e37) ^ Math.imul(id + 11, 0x0100_0193), 0x85eb_ca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35);
  return (x ^ (x >>> 16)) & 0xff_ffff;
}

function logit(state: number, id: number): number {
  let x = Math.imul(state ^ Math.imul(id + 1, 0x9e37_79b1), 0x85eb_ca6b);
  x = Math.imul(x ^ (x >>> 15), 0xc2b2_ae35);
  return ((x ^ (x >>> 13)) >>> 8) / 2 ** 21;
}
