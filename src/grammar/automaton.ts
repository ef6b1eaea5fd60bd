// Runs a program on bytes. Where the program may stand is a set of (state, stack); each such set gets a
// number, and the sets that follow it, one for each byte, are worked out when first asked for and then
// looked up. Stacks are frames that know their parent, each made once; a counted loop's frame holds how
// many rounds are still owed and how many still allowed, so a bounded string is one state with a
// counter.
//
// Work is counted, not timed: the bound is the same on every machine, and nothing can hang.

import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import { endState, type Program, type State } from './program.ts';

/** No text of the grammar goes on this way. */
export const dead = -1;
const unknown = -2;
/** The stack of whoever stands in the start rule. */
const rootFrame = 0;

type Frame = {
  readonly parent: number;
  /** Where a call goes on, or the loop. */
  readonly state: number;
  /** Of a loop: rounds owed and rounds allowed, this one not counted; −1 and −1 for a call. */
  readonly min: number;
  readonly max: number;
};

/** A place: states that read bytes, and frames, in pairs. */
type Place = {
  readonly pairs: Float64Array;
  /** What was matched so far is a whole text of the grammar. */
  readonly isComplete: boolean;
};

/** A pair as one number. */
const pairScale = 2 ** 24;

export class Automaton {
  /** Visits of (state, stack) so far: what matching costs. */
  work = 0;
  readonly #program: Program;
  readonly #frames: Frame[] = [{ parent: -1, state: endState, min: -1, max: -1 }];
  readonly #frameIds = new Map<string, number>();
  readonly #places: Place[] = [];
  readonly #placeIds = new Map<string, number>();
  /** [place][byte]: the place after it, `dead` or `unknown`. */
  readonly #rows: Int32Array[] = [];
  readonly #clamped = new Map<number, Map<number, number>>();
  #pairCount = 0;
  #workMax = Number.POSITIVE_INFINITY;

  constructor(program: Program) {
    this.#program = program;
  }

  /** The place before the first byte. */
  get start(): number {
    return this.#placeOf([this.#program.start * pairScale + rootFrame]);
  }

  /** Bytes of memory, roughly. */
  get sizeBytes(): number {
    // A row is 1 KiB; a pair stands in its place and, as text, in that place's key.
    return this.#rows.length * 1400 + this.#pairCount * 30 + this.#frames.length * 150;
  }

  /** From here on so much work may be done before a Fault. */
  allow(work: number): void {
    this.#workMax = this.work + work;
  }

  isComplete(place: number): boolean {
    return this.#places[place]?.isComplete ?? false;
  }

  /** The place after `byte`, or `dead`. */
  after(place: number, byte: number): number {
    const next = this.#rows[place]?.[byte] ?? dead;
    return next === unknown ? (this.row(place)[byte] ?? dead) : next;
  }

  /** The places after each byte. */
  row(place: number): Int32Array {
    const row = this.#rows[place];
    if (row === undefined) return deadRow;
    if (row[0] === unknown) this.#fill(row, this.#places[place]?.pairs ?? noPairs);
    return row;
  }

  /**
   * A place at which the same texts of up to `length` bytes can follow: counters that so few bytes
   * cannot exhaust are all alike.
   */
  clamp(place: number, length: number): number {
    const pairs = this.#places[place]?.pairs ?? noPairs;
    const changed = pairs.map((pair) => {
      const frame = pair % pairScale;
      return pair - frame + this.#clampFrame(frame, length);
    });
    if (changed.every((pair, i) => pair === pairs[i])) return place;
    return this.#intern(changed.sort(), this.isComplete(place));
  }

  #clampFrame(id: number, length: number): number {
    const frame = this.#frames[id];
    if (frame === undefined || frame.parent < 0) return id;
    const known = this.#clamped.get(length) ?? new Map<number, number>();
    this.#clamped.set(length, known);
    const found = known.get(id);
    if (found !== undefined) return found;
    const clamped = this.#frame({
      parent: this.#clampFrame(frame.parent, length),
      state: frame.state,
      min: Math.min(frame.min, length + 1),
      max: Math.min(frame.max, length + 1),
    });
    known.set(id, clamped);
    return clamped;
  }

  /** The row by runs of bytes that lead to the same states. */
  #fill(row: Int32Array, pairs: Float64Array): void {
    const cuts = new Uint8Array(257);
    for (const pair of pairs) {
      for (const { lo, hi } of this.#edges(pair)) {
        cuts[lo] = 1;
        cuts[hi + 1] = 1;
      }
    }
    cuts[256] = 1;
    let begin = 0;
    const next = new Int32Array(256);
    for (let end = 1; end <= 256; end++) {
      if (cuts[end] === 0) continue;
      next.fill(this.#afterByte(pairs, begin), begin, end);
      begin = end;
    }
    row.set(next); // only now: a Fault on the way leaves it unknown
  }

  #edges(pair: number): Extract<State, { op: 'bytes' }>['edges'] {
    const state = this.#program.states[Math.floor(pair / pairScale)];
    return state?.op === 'bytes' ? state.edges : [];
  }

  #afterByte(pairs: Float64Array, byte: number): number {
    const seeds: number[] = [];
    for (const pair of pairs) {
      for (const { lo, hi, to } of this.#edges(pair)) {
        this.#count();
        if (lo <= byte && byte <= hi) seeds.push(to * pairScale + (pair % pairScale));
      }
    }
    return seeds.length === 0 ? dead : this.#placeOf(seeds);
  }

  /** Follows everything that reads no byte. */
  #placeOf(seeds: readonly number[]): number {
    const seen = new Set<number>(seeds);
    const found: number[] = [];
    let isComplete = false;
    const go = (state: number, frame: number): void => {
      seen.add(state * pairScale + frame);
    };
    // A set is walked in the order of its growth: this is the queue as well.
    for (const pair of seen) {
      this.#count();
      const frame = pair % pairScale;
      const at = Math.floor(pair / pairScale);
      const state = this.#program.states[at];
      if (state === undefined) continue;
      if (state.op === 'bytes') found.push(pair);
      else if (state.op === 'split') for (const to of state.to) go(to, frame);
      else if (state.op === 'call') this.#call(state, frame, go);
      else if (state.op === 'loop') this.#enter(at, state, frame, go);
      else if (frame === rootFrame) isComplete = true;
      else this.#return(frame, go);
    }
    return this.#intern(Float64Array.from(found).sort(), isComplete);
  }

  #call(state: Extract<State, { op: 'call' }>, frame: number, go: Go): void {
    const entry = this.#program.entries.get(state.rule);
    if (entry === undefined) return;
    // The last thing that a rule does needs no frame: a long list does not grow the stack.
    if (state.next === endState) return go(entry, frame);
    go(entry, this.#frame({ parent: frame, state: state.next, min: -1, max: -1 }));
  }

  #enter(at: number, state: Extract<State, { op: 'loop' }>, frame: number, go: Go): void {
    if (state.min === 0) go(state.next, frame);
    const rounds = { min: Math.max(0, state.min - 1), max: state.max - 1 };
    go(state.body, this.#frame({ parent: frame, state: at, ...rounds }));
  }

  #return(id: number, go: Go): void {
    const frame = this.#frames[id];
    if (frame === undefined) return;
    const { parent, state: at, min, max } = frame;
    const state = this.#program.states[at];
    if (max < 0 || state?.op !== 'loop') return go(at, parent);
    if (min === 0) go(state.next, parent);
    if (max === 0) return;
    const rounds = { min: Math.max(0, min - 1), max: max - 1 };
    go(state.body, this.#frame({ parent, state: at, ...rounds }));
  }

  #frame(frame: Frame): number {
    const key = `${frame.parent},${frame.state},${frame.min},${frame.max}`;
    const known = this.#frameIds.get(key);
    if (known !== undefined) return known;
    const id = this.#frames.push(frame) - 1;
    this.#frameIds.set(key, id);
    return id;
  }

  #intern(pairs: Float64Array, isComplete: boolean): number {
    const key = `${isComplete} ${pairs.join(' ')}`;
    const known = this.#placeIds.get(key);
    if (known !== undefined) return known;
    const id = this.#places.push({ pairs, isComplete }) - 1;
    const row = new Int32Array(256).fill(pairs.length === 0 ? dead : unknown);
    this.#rows.push(row);
    this.#pairCount += pairs.length;
    this.#placeIds.set(key, id);
    return id;
  }

  #count(): void {
    if (++this.work <= this.#workMax) return;
    throw new Fault(
      'invalid_request',
      `matching the grammar took more than ${limit.grammarStepWork} steps for one token, because it ` +
        'can be read in too many ways at once; make it less ambiguous',
    );
  }
}

type Go = (state: number, frame: number) => void;
const deadRow = new Int32Array(256).fill(dead);
const noPairs = new Float64Array(0);
