// Grammars in EBNF, as llama.cpp (GBNF) and xgrammar write them:
//
//   root ::= "yes" | digit{1,3} (", " [a-z]+)?     # the rule `root` is the start
//   digit ::= [0-9]
//
// A rule goes on until the next `name ::=`.

import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import { type CharSet, complement, everyChar, setOf } from './char-set.ts';
import {
  chars,
  choice,
  type Expression,
  nothing,
  type Rules,
  repeat,
  rule,
  sequence,
  text,
} from './expression.ts';
import { checkRepeats } from './repeat-check.ts';

export function parseEbnf(source: string): Rules {
  const rules = new Map<string, Expression>();
  const reader = new EbnfReader(source);
  for (let next = reader.rule(); next !== null; next = reader.rule()) {
    const [name, expression] = next;
    if (rules.has(name)) throw wrong(`rule ${name} is there twice`);
    checkRepeats(expression);
    rules.set(name, expression);
  }
  if (!rules.has('root')) throw wrong('the rule "root", where a grammar begins, is missing');
  for (const name of reader.used) {
    if (!rules.has(name)) throw wrong(`rule ${name} is used and not there`);
  }
  return { start: 'root', rules };
}

const escapes: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  f: '\f',
  b: '\b',
  v: '\v',
  '0': '\0',
};

class EbnfReader {
  /** Names of rules that some rule calls. */
  readonly used = new Set<string>();
  readonly #source: string;
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
  }

  rule(): [string, Expression] | null {
    this.#space();
    if (this.#at >= this.#source.length) return null;
    const name = this.#match(/[A-Za-z_][A-Za-z0-9_-]*/y);
    this.#space();
    if (name === null || this.#match(/::=/y) === null) {
      throw this.#wrong(`expected "name ::=", found ${this.#found()}`);
    }
    return [name, this.#choice()];
  }

  #choice(): Expression {
    const options = [this.#sequence()];
    while (this.#match(/\|/y) !== null) options.push(this.#sequence());
    return choice(...options);
  }

  #sequence(): Expression {
    const parts: Expression[] = [];
    for (;;) {
      this.#space();
      const atom = this.#atom();
      if (atom === null) return parts.length === 0 ? nothing : sequence(...parts);
      parts.push(this.#repeated(atom));
    }
  }

  #repeated(atom: Expression): Expression {
    let expression = atom;
    for (;;) {
      this.#space();
      if (this.#match(/\*/y) !== null) expression = repeat(expression, 0, Number.POSITIVE_INFINITY);
      else if (this.#match(/\+/y) !== null)
        expression = repeat(expression, 1, Number.POSITIVE_INFINITY);
      else if (this.#match(/\?/y) !== null) expression = repeat(expression, 0, 1);
      else if (this.#source[this.#at] === '{') expression = this.#counted(expression);
      else return expression;
    }
  }

  #counted(body: Expression): Expression {
    const found = this.#match(/\{\s*\d{1,9}\s*(?:,\s*\d{0,9}\s*)?\}/y);
    if (found === null) throw this.#wrong('expected {min,max}');
    const [min = '', max] = found.slice(1, -1).split(',');
    const least = Number(min);
    const most =
      max === undefined ? least : max.trim() === '' ? Number.POSITIVE_INFINITY : Number(max);
    if (most < least) throw this.#wrong(`${found} can never match`);
    return repeat(body, least, most);
  }

  #atom(): Expression | null {
    const char = this.#source[this.#at];
    if (char === '"' || char === "'") return this.#text(char);
    if (char === '[') return chars(this.#class());
    if (char === '.') {
      this.#at++;
      return chars(everyChar);
    }
    if (char === '(') return this.#group();
    const head = this.#look(/[A-Za-z_][A-Za-z0-9_-]*/y);
    // A name before `::=` begins the next rule.
    if (head === null || this.#look(/[A-Za-z_][A-Za-z0-9_-]*\s*::=/y) !== null) return null;
    this.#at += head.length;
    this.used.add(head);
    return rule(head);
  }

  #group(): Expression {
    if (++this.#depth > limit.grammarDepthMax) throw this.#wrong('it is nested too deeply');
    this.#at++;
    if (this.#source[this.#at] === '=') throw this.#wrong('look-ahead "(=" is not supported');
    const inner = this.#choice();
    if (this.#match(/\)/y) === null) throw this.#wrong(`expected ")", found ${this.#found()}`);
    this.#depth--;
    return inner;
  }

  #text(quote: string): Expression {
    this.#at++;
    let value = '';
    while (this.#source[this.#at] !== quote) value += String.fromCodePoint(this.#char());
    this.#at++;
    return text(value);
  }

  #class(): CharSet {
    this.#at++;
    const isNegated = this.#match(/\^/y) !== null;
    const ranges: [number, number][] = [];
    while (this.#source[this.#at] !== ']') {
      const lo = this.#char();
      const isRange = this.#source[this.#at] === '-' && this.#source[this.#at + 1] !== ']';
      if (isRange) this.#at++;
      const hi = isRange ? this.#char() : lo;
      if (hi < lo) throw this.#wrong('a range of a class runs backwards');
      ranges.push([lo, hi]);
    }
    this.#at++;
    return isNegated ? complement(setOf(ranges)) : setOf(ranges);
  }

  /** One character of a text or class, escaped or not. */
  #char(): number {
    const value = this.#source.codePointAt(this.#at);
    if (value === undefined || value === 0x0a) throw this.#wrong('a text or class has no end');
    this.#at += value > 0xffff ? 2 : 1;
    if (value !== 0x5c) return value;
    const hex = this.#match(/x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}/y);
    const named = hex === null ? this.#source[this.#at++] : undefined;
    const code =
      hex === null
        ? (escapes[named ?? ''] ?? named)?.codePointAt(0)
        : Number.parseInt(hex.slice(1), 16);
    const isChar = code !== undefined && code <= 0x10_ffff && !(code >= 0xd800 && code <= 0xdfff);
    if (
      !isChar ||
      /[A-Za-z1-9]/.test(named !== undefined && escapes[named] === undefined ? named : '')
    ) {
      throw this.#wrong('an escape names no character');
    }
    return code;
  }

  #space(): void {
    this.#match(/(?:\s|#[^\n]*)+/y);
  }

  #look(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#source)?.[0] ?? null;
  }

  #match(pattern: RegExp): string | null {
    const found = this.#look(pattern);
    this.#at += found?.length ?? 0;
    return found;
  }

  #found(): string {
    const char = this.#source[this.#at];
    return char === undefined ? 'the end' : JSON.stringify(char);
  }

  #wrong(what: string): Fault {
    const line = this.#source.slice(0, this.#at).split('\n').length;
    return wrong(`line ${line}: ${what}`);
  }
}

function wrong(what: string): Fault {
  return new Fault('invalid_request', `grammar: ${what}`);
}
