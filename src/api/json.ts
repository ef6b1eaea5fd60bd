// JSON as strict as its standard allows: a name may stand in an object once, numbers are finite, text is
// Unicode, nesting is bounded. JSON.parse takes the last of two names, 1e999 for Infinity and half a
// surrogate pair for a character, and rounds integers beyond 2^53.

import { Fault } from '../std/fault.ts';
import { clip } from './fault.ts';

export type JsonOptions = {
  readonly depthMax: number;
  /** Names in the outermost object whose integers beyond 2^53 are wanted exactly, as bigint. */
  readonly exact: ReadonlySet<string>;
};

/** Throws a Fault `invalid_request` that says what is wrong and where. */
export function parseJson(text: string, options: JsonOptions): unknown {
  return new Parser(text, options).whole();
}

const numberPattern = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
/** All that a string of JSON must not have as it stands, and what has to be decoded. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const specialPattern = /[\u0000-\u001f\\]/;

const words: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['true', true],
  ['false', false],
  ['null', null],
]);

class Parser {
  readonly #text: string;
  readonly #options: JsonOptions;
  #at = 0;

  constructor(text: string, options: JsonOptions) {
    this.#text = text;
    this.#options = options;
  }

  whole(): unknown {
    this.#space();
    const value = this.#value(0, false);
    if (this.#at < this.#text.length) throw this.#malformed();
    return value;
  }

  /** One value and the space behind it, inside of so many others. */
  #value(depth: number, isExact: boolean): unknown {
    const char = this.#text[this.#at];
    if (char === '"') return this.#string();
    if (char === '{') return this.#object(depth + 1);
    if (char === '[') return this.#array(depth + 1);
    if (char !== undefined && (char === '-' || (char >= '0' && char <= '9'))) {
      return this.#number(isExact);
    }
    for (const [word, value] of words) {
      if (!this.#text.startsWith(word, this.#at)) continue;
      this.#at += word.length;
      this.#space();
      return value;
    }
    throw this.#malformed();
  }

  #object(depth: number): Record<string, unknown> {
    this.#enter(depth);
    // Without a prototype, so that `__proto__` is a name like any other.
    const fields: Record<string, unknown> = Object.create(null);
    for (let isFirst = true; !this.#takes('}'); isFirst = false) {
      if (!isFirst) this.#expect(',');
      if (this.#text[this.#at] !== '"') throw this.#malformed();
      const name = this.#string();
      if (name in fields) {
        const shown = JSON.stringify(clip(name, 100));
        throw refusal(`The request body has the name ${shown} twice in one object.`);
      }
      this.#expect(':');
      fields[name] = this.#value(depth, depth === 1 && this.#options.exact.has(name));
    }
    return fields;
  }

  #array(depth: number): unknown[] {
    this.#enter(depth);
    const values: unknown[] = [];
    while (!this.#takes(']')) {
      if (values.length > 0) this.#expect(',');
      values.push(this.#value(depth, false));
    }
    return values;
  }

  #enter(depth: number): void {
    const { depthMax } = this.#options;
    if (depth > depthMax) {
      throw refusal(`The request body is nested deeper than ${depthMax} levels.`);
    }
    this.#at++;
    this.#space();
  }

  #string(): string {
    const begin = this.#at;
    let end = this.#text.indexOf('"', begin + 1);
    while (end >= 0 && this.#isEscaped(end)) end = this.#text.indexOf('"', end + 1);
    if (end < 0) throw this.#malformed(this.#text.length);
    const raw = this.#text.slice(begin + 1, end);
    const value = specialPattern.test(raw) ? this.#decoded(begin, end + 1) : raw;
    if (!value.isWellFormed()) {
      throw refusal('The request body has half of a surrogate pair, which is no Unicode text.');
    }
    this.#at = end + 1;
    this.#space();
    return value;
  }

  /** An odd number of backslashes stands before it. */
  #isEscaped(at: number): boolean {
    let begin = at;
    while (this.#text[begin - 1] === '\\') begin--;
    return (at - begin) % 2 === 1;
  }

  #decoded(begin: number, end: number): string {
    try {
      return String(JSON.parse(this.#text.slice(begin, end)));
    } catch {
      throw this.#malformed(begin);
    }
  }

  #number(isExact: boolean): number | bigint {
    numberPattern.lastIndex = this.#at;
    const [source, fraction, exponent] = numberPattern.exec(this.#text) ?? [''];
    if (source === '') throw this.#malformed();
    const value = Number(source);
    if (!Number.isFinite(value)) {
      const shown = clip(source, 40);
      throw refusal(`The request body has the number ${shown}, which is out of range.`);
    }
    this.#at += source.length;
    this.#space();
    const isInteger = fraction === undefined && exponent === undefined;
    // More digits are no integer of 64 bits, and long ones take their time.
    if (!isExact || !isInteger || source.length > 20 || Number.isSafeInteger(value)) return value;
    return BigInt(source);
  }

  #takes(char: string): boolean {
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    this.#space();
    return true;
  }

  #expect(char: string): void {
    if (!this.#takes(char)) throw this.#malformed();
  }

  #space(): void {
    for (;;) {
      const char = this.#text.charCodeAt(this.#at);
      if (char !== 0x20 && char !== 0x0a && char !== 0x0d && char !== 0x09) return;
      this.#at++;
    }
  }

  #malformed(at = this.#at): Fault {
    const found = at < this.#text.length ? JSON.stringify(this.#text[at]) : 'its end';
    return refusal(`The request body is not valid JSON: unexpected ${found} at character ${at}.`);
  }
}

function refusal(message: string): Fault {
  return new Fault('invalid_request', message);
}
