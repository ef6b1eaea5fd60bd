// A grammar at work for one sequence: which tokens may follow, and what follows from a token. The masks
// of a place are kept with the automaton, for all sequences of the same grammar. A matcher can always
// be made again from the sequence's ids, so what is kept is only ever a saving.

import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import { Automaton, dead } from './automaton.ts';
import type { Guide, TokenMask } from './guide.ts';
import type { Program } from './program.ts';
import type { TokenTree, Vocabulary } from './vocabulary.ts';

/** Shared by all sequences with the same grammar. */
export class Grammar {
  readonly #program: Program;
  readonly #vocabulary: Vocabulary;
  #automaton: Automaton;
  /** By tree, then by place: places at which the tree's tokens fare alike share a mask. */
  #masks: Map<number, Uint32Array>[] = [];
  #whole = new Map<number, TokenMask>();
  #epoch = 0;

  constructor(program: Program, vocabulary: Vocabulary) {
    this.#program = program;
    this.#vocabulary = vocabulary;
    this.#automaton = new Automaton(program);
    this.#forget();
  }

  /** Of memory, roughly. */
  get sizeBytes(): number {
    const masks = this.#masks.reduce((sum, map) => sum + map.size, this.#whole.size);
    const { states } = this.#program;
    return this.#automaton.sizeBytes + masks * this.#wordCount * 4 + states.length * 100;
  }

  get automaton(): Automaton {
    return this.#automaton;
  }

  /** Places of another epoch mean nothing any more. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Gives memory back where matching has worked out too much. Between tokens only. */
  trim(bytesMax: number): void {
    if (this.sizeBytes - this.#program.states.length * 100 <= bytesMax) return;
    this.#automaton = new Automaton(this.#program);
    this.#forget();
    this.#epoch++;
  }

  bytesOf(token: number): Uint8Array {
    const { bytes, offsets, size } = this.#vocabulary;
    if (token >= size) return bytes.subarray(0, 0);
    return bytes.subarray(offsets[token] ?? 0, offsets[token + 1] ?? 0);
  }

  maskAt(place: number): TokenMask {
    const known = this.#whole.get(place);
    if (known !== undefined) return known;
    const words = new Uint32Array(this.#wordCount);
    for (const [i, tree] of this.#vocabulary.trees.entries()) {
      const like = this.#automaton.clamp(place, tree.length);
      let mask = this.#masks[i]?.get(like);
      if (mask === undefined) {
        mask = this.#walk(tree, like);
        this.#masks[i]?.set(like, mask);
      }
      for (let w = 0; w < words.length; w++) words[w] = (words[w] ?? 0) | (mask[w] ?? 0);
    }
    const isEmpty = words.every((word) => word === 0);
    const whole = { words, isEmpty, mayEnd: this.#automaton.isComplete(place) };
    if (this.#whole.size < wholeCountMax) this.#whole.set(place, whole);
    return whole;
  }

  get #wordCount(): number {
    return Math.ceil(this.#vocabulary.size / 32);
  }

  #forget(): void {
    this.#masks = this.#vocabulary.trees.map(() => new Map<number, Uint32Array>());
    this.#whole = new Map();
  }

  /** All tokens of the tree that lead from `place` to somewhere. */
  #walk(tree: TokenTree, place: number): Uint32Array {
    const { bytes, depths, skips, tokens } = tree;
    const { twins } = this.#vocabulary;
    const automaton = this.#automaton;
    const mask = new Uint32Array(this.#wordCount);
    /** The row of the place at each depth: a node costs one look into it. */
    const rows: Int32Array[] = new Array<Int32Array>(tree.length + 1).fill(automaton.row(place));
    const count = bytes.length;
    for (let node = 0; node < count; ) {
      const depth = depths[node] ?? 0;
      const next = rows[depth - 1]?.[bytes[node] ?? 0] ?? dead;
      if (next === dead) {
        node = skips[node] ?? count;
        continue;
      }
      // A leaf's own row is of no use, and would have to be worked out.
      if ((depths[node + 1] ?? 0) > depth) rows[depth] = automaton.row(next);
      for (let id = tokens[node] ?? -1; id >= 0; id = twins[id] ?? -1) {
        mask[id >> 5] = (mask[id >> 5] ?? 0) | (1 << (id & 31));
      }
      node++;
    }
    return mask;
  }
}

/** Masks of exact places that are kept whole. */
const wholeCountMax = 64;

/** Where one sequence stands in its grammar. */
export class Matcher implements Guide {
  readonly #grammar: Grammar;
  #epoch = -1;
  #place = dead;
  #count = 0;
  /** Work that this sequence has caused. */
  #work = 0;

  constructor(grammar: Grammar) {
    this.#grammar = grammar;
  }

  /** Which tokens may follow `ids`, of which those from `begin` on were generated. */
  mask(ids: readonly number[], begin: number): TokenMask {
    return this.#paid(() => {
      this.#follow(ids, begin);
      return this.#grammar.maskAt(this.#place);
    });
  }

  close(): void {
    // Nothing is held but what others may use as well.
  }

  /** Takes in what was added since the last time, or all, where the places are new. */
  #follow(ids: readonly number[], begin: number): void {
    const grammar = this.#grammar;
    if (this.#epoch !== grammar.epoch) {
      this.#place = grammar.automaton.start;
      this.#count = 0;
      this.#epoch = grammar.epoch;
    }
    for (; begin + this.#count < ids.length; this.#count++) {
      grammar.automaton.allow(limit.grammarStepWork);
      this.#take(ids[begin + this.#count] ?? 0);
    }
    grammar.automaton.allow(limit.grammarStepWork);
  }

  #take(token: number): void {
    const bytes = this.#grammar.bytesOf(token);
    let place = bytes.length === 0 ? dead : this.#place;
    for (const byte of bytes)
      if (place !== dead) place = this.#grammar.automaton.after(place, byte);
    if (place === dead) {
      throw new Fault(
        'mismatch',
        `token ${token} does not fit the request's grammar; do all workers load the same model?`,
      );
    }
    this.#place = place;
  }

  #paid<T>(act: () => T): T {
    this.#grammar.trim(limit.grammarBytesMax);
    const { automaton } = this.#grammar;
    const before = automaton.work;
    if (this.#work > limit.grammarCreditWork + this.#count * limit.grammarTokenWork) {
      throw new Fault(
        'invalid_request',
        'matching the grammar takes too much work; make it less ambiguous',
      );
    }
    automaton.allow(limit.grammarStepWork);
    try {
      return act();
    } finally {
      this.#work += automaton.work - before;
    }
  }
}
