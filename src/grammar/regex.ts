// Regular expressions as JavaScript, Python and JSON schema share them → expressions. Read by hand and
// matched by our own automaton: no client's expression ever runs on a backtracking engine. What cannot
// be a finite set of states (look-around, back references) is refused by name.

import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import { type CharSet, charsOf, complement, everyChar, minus, setOf, union } from './char-set.ts';
import { chars, choice, type Expression, nothing, repeat, sequence, text } from './expression.ts';

/**
 * @param options.anchored the whole text must match (`guided_regex`); else it may match anywhere inside
 *   (`pattern` of JSON schema), as `^` and `$` leave it.
 */
export function parseRegex(source: string, options: { readonly anchored: boolean }): Expression {
  return new RegexReader(source, options.anchored).read();
}

const digits: CharSet = [[0x30, 0x39]];
const word = setOf([...digits, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]]);
const space = setOf([
  ...charsOf('\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff'),
  [0x2000, 0x200a],
]);
const lineEnds = charsOf('\n\r\u2028\u2029');
const classes: Readonly<Record<string, CharSet>> = {
  d: digits,
  D: complement(digits),
  w: word,
  W: complement(word),
  s: space,
  S: complement(space),
};
const controls: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  f: '\f',
  v: '\v',
  '0': '\0',
};
const anything = repeat(chars(everyChar), 0, Number.POSITIVE_INFINITY);

class RegexReader {
  readonly #chars: readonly string[];
  readonly #anchored: boolean;
  #at = 0;
  #depth = 0;

  constructor(source: string, anchored: boolean) {
    this.#chars = Array.from(source);
    this.#anchored = anchored;
  }

  read(): Expression {
    const options = [this.#branch()];
    while (this.#skip('|')) options.push(this.#branch());
    if (this.#at < this.#chars.length) throw this.#wrong(`"${this.#peek()}" has no beginning`);
    return choice(...options);
  }

  /** One alternative of the whole: here alone can anchors stand. */
  #branch(): Expression {
    const isBegun = this.#skip('^');
    const body = this.#sequence();
    const isEnded = this.#skip('$');
    if (this.#peek() !== undefined && this.#peek() !== '|' && this.#peek() !== ')') {
      throw this.#wrong('"$" is supported only at the end');
    }
    if (this.#anchored) return body;
    return sequence(...(isBegun ? [] : [anything]), body, ...(isEnded ? [] : [anything]));
  }

  #sequence(): Expression {
    const parts: Expression[] = [];
    for (let char = this.#peek(); char !== undefined; char = this.#peek()) {
      if (char === '|' || char === ')' || char === '$') break;
      parts.push(this.#repeated(this.#atom()));
    }
    return parts.length === 0 ? nothing : sequence(...parts);
  }

  #repeated(atom: Expression): Expression {
    const range = this.#quantifier();
    if (range === null) return atom;
    this.#skip('?'); // lazy or greedy, the same texts match
    const [min, max] = range;
    if (this.#quantifier() !== null || this.#peek() === '+') {
      throw this.#wrong('two quantifiers follow each other');
    }
    if (max < min) throw this.#wrong(`{${min},${max}} can never match`);
    return repeat(atom, min, max);
  }

  #quantifier(): readonly [number, number] | null {
    if (this.#skip('*')) return [0, Number.POSITIVE_INFINITY];
    if (this.#skip('+')) return [1, Number.POSITIVE_INFINITY];
    if (this.#skip('?')) return [0, 1];
    if (this.#peek() !== '{') return null;
    const rest = this.#chars.slice(this.#at, this.#at + 24).join('');
    const [all, min, comma, max] = /^\{(\d{1,9})(,?)(\d{0,9})\}/.exec(rest) ?? [];
    if (all === undefined)
      throw this.#wrong('"{" begins no {min,max}; write "\\{" for the character');
    this.#at += all.length;
    const least = Number(min);
    if (comma === '') return [least, least];
    return [least, max === '' ? Number.POSITIVE_INFINITY : Number(max)];
  }

  #atom(): Expression {
    const char = this.#next();
    if (char === '(') return this.#group();
    if (char === '[') return chars(this.#class());
    if (char === '.') return chars(minus(everyChar, lineEnds));
    if (char === '\\') return this.#escape();
    if (char === '^') throw this.#wrong('"^" is supported only at the beginning');
    if ('*+?{'.includes(char)) throw this.#wrong(`"${char}" repeats nothing`);
    return text(char);
  }

  #group(): Expression {
    if (this.#skip('?')) {
      const rest = this.#chars.slice(this.#at, this.#at + 80).join('');
      const name = /^(?::|P?<[A-Za-z_]\w{0,63}>)/.exec(rest)?.[0];
      if (name === undefined) throw this.#wrong('look-around and flags are not supported');
      this.#at += name.length;
    }
    if (++this.#depth > limit.grammarDepthMax) throw this.#wrong('it is nested too deeply');
    const options = [this.#sequence()];
    while (this.#skip('|')) options.push(this.#sequence());
    if (!this.#skip(')')) throw this.#wrong(`expected ")", found ${this.#found()}`);
    this.#depth--;
    return choice(...options);
  }

  #escape(): Expression {
    const char = this.#peek();
    if (char === 'b' || char === 'B') throw this.#wrong(`"\\${char}" is not supported`);
    const set = this.#escapedSet();
    return chars(set);
  }

  /** After a backslash, in a class or outside. */
  #escapedSet(): CharSet {
    const char = this.#next();
    const set = classes[char];
    if (set !== undefined) return set;
    const control = controls[char];
    if (control !== undefined) return charsOf(control);
    if (char === 'x') return this.#codePoint(/^([0-9A-Fa-f]{2})/);
    if (char === 'u') return this.#codePoint(/^(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{4}))/);
    if (/[A-Za-z0-9]/.test(char)) throw this.#wrong(`"\\${char}" is not supported`);
    return charsOf(char);
  }

  #codePoint(pattern: RegExp): CharSet {
    const found = pattern.exec(this.#chars.slice(this.#at, this.#at + 8).join(''));
    const value = Number.parseInt(found?.[1] ?? found?.[2] ?? '', 16);
    if (found === null || value > 0x10_ffff || (value >= 0xd800 && value <= 0xdfff)) {
      throw this.#wrong('an escape names no character');
    }
    this.#at += found[0].length;
    return [[value, value]];
  }

  #class(): CharSet {
    const isNegated = this.#skip('^');
    const sets: CharSet[] = [];
    for (let first = true; first || this.#peek() !== ']'; first = false) {
      if (this.#peek() === undefined) throw this.#wrong('expected "]", found the end');
      if (first && this.#peek() === ']') break;
      sets.push(this.#classItem());
    }
    this.#skip(']');
    const set = union(...sets);
    return isNegated ? complement(set) : set;
  }

  #classItem(): CharSet {
    const from = this.#classChar();
    const isRange = this.#peek() === '-' && this.#chars[this.#at + 1] !== ']';
    if (!isRange) return from;
    this.#skip('-');
    const to = this.#classChar();
    const [lo, hi] = [from[0]?.[0] ?? 0, to[0]?.[0] ?? 0];
    const areChars = [from, to].every((set) => set.length === 1 && set[0]?.[0] === set[0]?.[1]);
    if (!areChars || hi < lo) throw this.#wrong('a range of a class runs backwards or is none');
    return [[lo, hi]];
  }

  #classChar(): CharSet {
    const char = this.#next();
    if (char === '\\') {
      if (this.#skip('b')) return charsOf('\b');
      return this.#escapedSet();
    }
    return charsOf(char);
  }

  #peek(): string | undefined {
    return this.#chars[this.#at];
  }

  #next(): string {
    const char = this.#chars[this.#at++];
    if (char === undefined) throw this.#wrong('it ends in the middle');
    return char;
  }

  #skip(char: string): boolean {
    if (this.#peek() !== char) return false;
    this.#at++;
    return true;
  }

  #found(): string {
    return this.#peek() === undefined ? 'the end' : `"${this.#peek()}"`;
  }

  #wrong(what: string): Fault {
    return new Fault('invalid_request', `regular expression, character ${this.#at + 1}: ${what}`);
  }
}
