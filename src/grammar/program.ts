// Rules → a program for grammar/automaton.ts: states over bytes, with calls for rules and counted loops
// for bounded repetition, so `{0,1000}` is one state and not a thousand. What could not be run is
// refused here: a rule that begins with itself, one that can never end, and what is too large.

import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import { type ByteRanges, type CharSet, utf8Ranges } from './char-set.ts';
import type { Expression, Rules } from './expression.ts';
import { canEnd, checkRules, isNullable, type RuleFacts } from './rule-check.ts';

export type Edge = { readonly lo: number; readonly hi: number; readonly to: number };

export type State =
  /** The end of a rule or of a loop's body: back to whoever called. */
  | { readonly op: 'end' }
  | { readonly op: 'bytes'; readonly edges: readonly Edge[] }
  | { readonly op: 'split'; readonly to: readonly number[] }
  | { readonly op: 'call'; readonly rule: string; readonly next: number }
  | {
      readonly op: 'loop';
      readonly body: number;
      readonly min: number;
      readonly max: number;
      readonly next: number;
    };

export type Program = {
  readonly states: readonly State[];
  /** Where each rule begins. */
  readonly entries: ReadonlyMap<string, number>;
  readonly start: number;
};

/** `end` is always state 0, so a call whose `next` is 0 needs no way back. */
export const endState = 0;

export function programOf(rules: Rules): Program {
  const facts = checkRules(rules);
  const builder = new Builder(facts);
  const entries = new Map<string, number>();
  for (const [name, expression] of rules.rules) {
    if (!facts.ending.has(name)) continue; // nobody goes there
    entries.set(name, builder.build(expression, endState));
  }
  const start = entries.get(rules.start);
  if (start === undefined) throw tooLarge();
  return { states: builder.states, entries, start };
}

function tooLarge(): Fault {
  const message = `the grammar is too large: more than ${limit.grammarStateMax} states`;
  return new Fault('invalid_request', message);
}

/** Builds from the end: each expression is told where to go on and says where it begins. */
class Builder {
  readonly states: State[] = [{ op: 'end' }];
  readonly #facts: RuleFacts;

  constructor(facts: RuleFacts) {
    this.#facts = facts;
  }

  build(expression: Expression, next: number): number {
    switch (expression.kind) {
      case 'text':
        return this.#text(expression.text, next);
      case 'chars':
        return this.#chars(expression.set, next);
      case 'sequence':
        return expression.parts.reduceRight((after, part) => this.build(part, after), next);
      case 'choice':
        return this.#add({
          op: 'split',
          to: expression.options
            .filter((option) => canEnd(option, this.#facts.ending))
            .map((option) => this.build(option, next)),
        });
      case 'repeat':
        return this.#repeat(expression, next);
      case 'rule':
        return this.#add({ op: 'call', rule: expression.name, next });
    }
  }

  #add(state: State): number {
    if (this.states.length >= limit.grammarStateMax) throw tooLarge();
    return this.states.push(state) - 1;
  }

  #text(text: string, next: number): number {
    let at = next;
    const bytes = encoder.encode(text);
    for (let i = bytes.length - 1; i >= 0; i--) {
      const byte = bytes[i] ?? 0;
      at = this.#add({ op: 'bytes', edges: [{ lo: byte, hi: byte, to: at }] });
    }
    return at;
  }

  #chars(set: CharSet, next: number): number {
    const tails = new Map<string, number>();
    const edges = utf8Ranges(set).map((ranges) => {
      const [[lo, hi] = [1, 0], ...rest] = ranges;
      return { lo, hi, to: this.#tail(rest, next, tails) };
    });
    return this.#add({ op: 'bytes', edges });
  }

  /** Later bytes of a character; equal ones are built once. */
  #tail(ranges: ByteRanges, next: number, tails: Map<string, number>): number {
    const [first, ...rest] = ranges;
    if (first === undefined) return next;
    const key = ranges.join(';');
    const known = tails.get(key);
    if (known !== undefined) return known;
    const [lo, hi] = first;
    const edges = [{ lo, hi, to: this.#tail(rest, next, tails) }];
    const state = this.#add({ op: 'bytes', edges });
    tails.set(key, state);
    return state;
  }

  #repeat({ body, min, max }: Extract<Expression, { kind: 'repeat' }>, next: number): number {
    if (max === 0 || !canEnd(body, this.#facts.ending)) return next;
    if (min === 0 && max === 1)
      return this.#add({ op: 'split', to: [this.build(body, next), next] });
    if (max === Number.POSITIVE_INFINITY && min < 2) return this.#endless(body, min, next);
    if (min === 1 && max === 1) return this.build(body, next);
    // A body that may be empty can make up any number of rounds.
    const least = isNullable(body, this.#facts.nullable) ? 0 : min;
    return this.#add({ op: 'loop', body: this.build(body, endState), min: least, max, next });
  }

  /** `*` and `+`: no counter, so no frame, and the body is there once. */
  #endless(body: Expression, min: number, next: number): number {
    const to = [next];
    const again = this.#add({ op: 'split', to });
    const once = this.build(body, again);
    to.unshift(once);
    return min === 0 ? again : once;
  }
}

const encoder = new TextEncoder();
