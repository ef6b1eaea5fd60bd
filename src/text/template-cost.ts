// What rendering a chat template may cost, counted and not timed: the same messages are refused on every
// machine. Templates come with models and models from strangers, and a client's messages decide how often a
// template's loops turn. Each node that is evaluated is a step; what a single one may do natively (write out
// a list that holds another twice, that twice, …; repeat an indentation a billion times) is reckoned before
// it is done. Knows nothing of the Jinja library but the shape of its values and nodes.

import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';

export type Value = { readonly type: string; readonly value?: unknown };

/** Characters that are read or written in the time of a step. */
const stepChars = 16;
/** Each round of a loop has a scope of its own, of several objects. */
const roundSteps = 8;
/** log₂ of the longest list: how often sorting looks at each entry. */
const sortRounds = 16;

/** What a value is once it is text. */
type Written = { chars: number; entries: number; depth: number };

export class TemplateBudget {
  #left: number;
  readonly #steps: number;

  /** @param inputChars of all that the client sent. */
  constructor(inputChars: number) {
    this.#steps = limit.templateStepsBase + limit.templateStepsPerChar * inputChars;
    this.#left = this.#steps;
  }

  charge(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw tooMuch(`more than ${this.#steps} steps`);
  }

  readText(chars: number): void {
    this.charge(chars / stepChars);
  }

  /** One text looked for in another: at worst each place is compared to its end. */
  search(text: number, wanted: number): void {
    this.charge((text / stepChars) * Math.max(1, wanted / stepChars));
  }

  /** Of a text each character becomes a text of its own first. */
  slice(value: Value): void {
    this.charge(lengthOf(value) / (typeof value.value === 'string' ? 2 : 1));
  }

  round(count: number): void {
    this.charge(count * roundSteps);
  }

  checkText(chars: number): void {
    if (chars > limit.templateTextMax) {
      throw tooMuch(`a text of more than ${limit.templateTextMax} characters`);
    }
  }

  checkList(count: number): void {
    if (count > limit.templateListMax) {
      throw tooMuch(`a list of more than ${limit.templateListMax} entries`);
    }
  }

  checkDepth(depth: number): void {
    if (depth > limit.templateDepthMax) {
      throw tooMuch(`more than ${limit.templateDepthMax} expressions within each other`);
    }
  }

  /** For a value that becomes text as a whole; numbers and words are short. */
  write(value: Value): Written {
    const written: Written = { chars: 0, entries: 0, depth: 0 };
    if (typeof value.value === 'string') written.chars = value.value.length;
    else this.#walk(value, written, 0);
    this.checkText(written.chars);
    this.readText(written.chars);
    return written;
  }

  #walk(value: Value, written: Written, depth: number): void {
    if (depth > limit.templateNestingMax) {
      throw tooMuch(`a value nested deeper than ${limit.templateNestingMax} levels`);
    }
    if (depth > written.depth) written.depth = depth;
    const inside = value.value;
    written.chars += typeof inside === 'string' ? inside.length + 2 : 8;
    if (!Array.isArray(inside) && !(inside instanceof Map)) return;
    this.charge(1);
    this.checkText(written.chars);
    for (const entry of inside instanceof Map ? inside.entries() : inside) {
      written.entries++;
      if (Array.isArray(entry)) {
        written.chars += String(entry[0]).length + 4;
        this.#walk(entry[1], written, depth + 1);
      } else this.#walk(entry, written, depth + 1);
    }
  }

  /** A value is there: none may be larger than these. */
  made({ value }: Value): void {
    if (typeof value === 'string') this.checkText(value.length);
    else if (Array.isArray(value)) this.checkList(value.length);
  }

  binary(operator: string, left: Value, right: Value): void {
    if (operator === 'and' || operator === 'or') return;
    const [a, b] = [left.value, right.value];
    if (typeof a === 'string' && typeof b === 'string') {
      const isSearch = operator === 'in' || operator === 'not in';
      if (isSearch) this.search(b.length, a.length);
      else this.readText(a.length + b.length);
    } else if (Array.isArray(a) && Array.isArray(b) && operator !== '~') {
      this.checkList(a.length + b.length);
      this.charge(a.length + b.length);
    } else if (Array.isArray(b) && (operator === 'in' || operator === 'not in')) {
      this.charge(b.length * (1 + lengthOf(left) / stepChars));
    } else if (
      operator === '~' ||
      operator === '+' ||
      typeof a === 'string' ||
      typeof b === 'string'
    ) {
      this.write(left);
      this.write(right);
    }
  }

  /** @param args of the filter, in any order. */
  filter(name: string, operand: Value, args: readonly Value[]): void {
    if (cheapFilters.has(name)) return;
    const count = lengthOf(operand);
    if (typeof operand.value === 'string') this.readText(count);
    else this.charge(count);
    if (name === 'tojson' || name === 'string' || name === 'join') {
      const { chars, entries, depth } = this.write(operand);
      const between = Math.max(entries, typeof operand.value === 'string' ? count : 0) + 1;
      const each = numberIn(args) * (depth + 1) + textIn(args);
      this.checkText(chars + between * each);
      this.readText(between * each);
    } else if (name === 'sort' || name === 'dictsort') {
      this.charge((this.write(operand).chars + count * textIn(args)) * (sortRounds / stepChars));
    } else if (name === 'indent') {
      const lines = String(operand.value).split('\n', limit.templateListMax + 1).length;
      this.checkList(lines);
      this.checkText(count + lines * numberIn(args));
    } else if (name === 'replace') {
      const [old = '', by = ''] = args.map(({ value }) => value).filter(isText);
      this.replace(String(operand.value), old, by);
    } else if (args.length > 0) {
      this.write(operand);
      this.charge(count * (textIn(args) / stepChars));
    }
  }

  /** A method of a text or a mapping is about to be called. */
  method(name: string, { value }: Value, args: readonly Value[]): void {
    if (value instanceof Map)
      return this.charge(value.size * (name === 'dictsort' ? sortRounds : 1));
    if (typeof value !== 'string') return;
    this.readText(value.length);
    const [first = '', second = ''] = args.map((arg) => arg.value).filter(isText);
    if (name === 'replace') this.replace(value, first, second);
    if (name === 'split') {
      this.search(value.length, first.length);
      this.checkList(partCount(value, first));
    }
    for (const arg of args) this.charge(lengthOf(arg) / stepChars);
  }

  replace(text: string, old: string, by: string): void {
    this.search(text.length, old.length);
    const most = old === '' ? text.length + 1 : Math.floor(text.length / old.length);
    this.checkText(text.length + most * Math.max(0, by.length - old.length));
  }
}

/** They take as long for a long list as for a short one. */
const cheapFilters: ReadonlySet<string> = new Set([
  'length',
  'first',
  'last',
  'default',
  'list',
  'safe',
]);

/** Parts that `split` makes; `limit.templateListMax` + 1 stands for all above. */
function partCount(text: string, separator: string): number {
  if (separator !== '') return text.split(separator, limit.templateListMax + 1).length;
  let count = 0;
  for (const _ of text.matchAll(/\S+/g)) if (++count > limit.templateListMax) break;
  return count;
}

function lengthOf({ value }: Value): number {
  if (typeof value === 'string' || Array.isArray(value)) return value.length;
  return value instanceof Map ? value.size : 1;
}

/** Unpacked lists and mappings of arguments are looked into. */
function* plain(args: readonly Value[]): Generator<unknown> {
  for (const { value } of args) {
    const inside: Iterable<Value> =
      value instanceof Map ? value.values() : Array.isArray(value) ? value : [];
    yield value;
    for (const entry of inside) yield entry.value;
  }
}

function numberIn(args: readonly Value[]): number {
  let most = args.length === 0 ? 4 : 0;
  for (const value of plain(args)) if (typeof value === 'number' && value > most) most = value;
  return most;
}

function textIn(args: readonly Value[]): number {
  let sum = 2;
  for (const value of plain(args)) if (isText(value)) sum += value.length;
  return sum;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function tooMuch(what: string): Fault {
  return new Fault(
    'invalid_request',
    `With these messages the model's chat template takes ${what}. Send fewer or shorter ones; ` +
      'where any message is refused so, the template is at fault.',
    { param: 'messages' },
  );
}
