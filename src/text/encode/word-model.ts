// One word → ids, by a byte-pair model of tokenizer.json: its symbols (bytes, or characters and where the
// vocabulary lacks one its bytes), merged. Words of a few characters come again and again, so the ids of the
// latest are kept. Null: the model is of another kind, or has what no model of today needs.

import * as v from 'valibot';
import { byteChars } from '../token-bytes.ts';
import { Merger } from './merger.ts';
import { PairTable } from './pair-table.ts';

export type WordModel = {
  /** Appends the word's ids. */
  encode(word: string, out: number[]): void;
};

const emptyOnly = v.optional(v.nullable(v.literal('')), null);
const schema = v.object({
  type: v.literal('BPE'),
  dropout: v.optional(v.null(), null),
  unk_token: v.optional(v.nullable(v.string()), null),
  continuing_subword_prefix: emptyOnly,
  end_of_word_suffix: emptyOnly,
  fuse_unk: v.optional(v.boolean(), false),
  byte_fallback: v.optional(v.boolean(), false),
  ignore_merges: v.optional(v.boolean(), false),
  // Hundreds of thousands of entries: looked at one by one while they are used.
  vocab: v.custom<Record<string, unknown>>((found) => typeof found === 'object' && found !== null),
  merges: v.custom<readonly unknown[]>(Array.isArray),
});
type Model = v.InferOutput<typeof schema>;

/** Ids by character or byte; -1: the vocabulary has none. */
const none = -1;
const cachedCharsMax = 32;
/** Of each of the two halves of the cache: the older one goes when the younger is full. */
const cachedCountMax = 8192;

/** @param model `model` of tokenizer.json. */
export function wordModelOf(model: unknown, isByteLevel: boolean): WordModel | null {
  const parsed = v.safeParse(schema, model);
  if (!parsed.success) return null;
  const { vocab: words, merges } = parsed.output;
  const vocab = new Map<string, number>();
  for (const [word, id] of Object.entries(words)) {
    if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0) return null;
    vocab.set(word, id);
  }
  const merger = mergerOf(vocab, merges);
  if (merger === null) return null;
  return isByteLevel
    ? new ByteWords(parsed.output, vocab, merger)
    : new CharWords(parsed.output, vocab, merger);
}

function mergerOf(vocab: ReadonlyMap<string, number>, merges: readonly unknown[]): Merger | null {
  const pairs = new PairTable(merges.length);
  const joins = new PairTable(merges.length * 2);
  const join = { rank: 0, merged: 0 };
  for (const [rank, merge] of merges.entries()) {
    const [left, right, more] = typeof merge === 'string' ? merge.split(' ') : asList(merge);
    if (typeof left !== 'string' || typeof right !== 'string' || more !== undefined) return null;
    const [a, b, merged] = [vocab.get(left), vocab.get(right), vocab.get(left + right)];
    if (a === undefined || b === undefined || merged === undefined) return null;
    pairs.set(a, b, { rank, merged });
    const last = vocab.get(lastChar(left));
    const first = vocab.get(String.fromCodePoint(right.codePointAt(0) ?? 0));
    // Of characters that are no symbols nothing is ever made; a byte's token is a symbol itself.
    for (const end of isByte(left) ? [a, last] : [last]) {
      for (const begin of isByte(right) ? [b, first] : [first]) {
        if (end !== undefined && begin !== undefined) joins.set(end, begin, join);
      }
    }
  }
  return new Merger(pairs, joins);
}

function asList(merge: unknown): readonly unknown[] {
  return Array.isArray(merge) ? merge : [];
}

function lastChar(word: string): string {
  const pair = word.slice(-2);
  return (pair.codePointAt(0) ?? 0) > 0xffff ? pair : word.slice(-1);
}

function byteWord(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}

function isByte(word: string): boolean {
  return word.startsWith('<0x') && /^<0x[0-9A-F]{2}>$/.test(word);
}

class ByteWords implements WordModel {
  readonly #merger: Merger;
  readonly #idOfByte: Int32Array;
  readonly #unknown: Unknown;
  /** Null: no word goes ahead of its merges. */
  readonly #whole: ReadonlyMap<string, number> | null;
  readonly #chars: readonly string[];
  readonly #cache = new WordCache();
  readonly #encoder = new TextEncoder();

  constructor(model: Model, vocab: ReadonlyMap<string, number>, merger: Merger) {
    this.#merger = merger;
    this.#chars = byteChars();
    this.#idOfByte = Int32Array.from(this.#chars, (char) => vocab.get(char) ?? none);
    this.#unknown = new Unknown(model, vocab);
    this.#whole = model.ignore_merges ? vocab : null;
  }

  encode(word: string, out: number[]): void {
    if (word.length > cachedCharsMax) {
      this.#encode(word, out);
      return;
    }
    let ids = this.#cache.get(word);
    if (ids === undefined) {
      const made: number[] = [];
      this.#encode(word, made);
      this.#cache.set(word, made);
      ids = made;
    }
    for (const id of ids) out.push(id);
  }

  #encode(word: string, out: number[]): void {
    const bytes = this.#encoder.encode(word);
    if (this.#whole !== null) {
      const chars = Array.from(bytes, (byte) => this.#chars[byte] ?? '');
      const id = this.#whole.get(chars.join(''));
      if (id !== undefined) {
        out.push(id);
        return;
      }
    }
    const symbols = new Int32Array(bytes.length);
    let count = 0;
    let wasUnknown = false;
    for (const byte of bytes) {
      const id = this.#idOfByte[byte] ?? none;
      const symbol = id === none ? this.#unknown.symbol(wasUnknown) : id;
      wasUnknown = id === none;
      if (symbol !== none) symbols[count++] = symbol;
    }
    this.#merger.merge(symbols, count, out);
  }
}

class CharWords implements WordModel {
  readonly #merger: Merger;
  /** By code point below 0x10000; the others by character. */
  readonly #idOfUnit = new Int32Array(0x10000).fill(none);
  readonly #idOfChar = new Map<number, number>();
  /** Ids of bytes, for characters that the vocabulary lacks. */
  readonly #idOfByte: Int32Array;
  readonly #unknown: Unknown;
  readonly #whole: ReadonlyMap<string, number> | null;
  readonly #encoder = new TextEncoder();

  constructor(model: Model, vocab: ReadonlyMap<string, number>, merger: Merger) {
    this.#merger = merger;
    for (const [word, id] of vocab) {
      const point = word.codePointAt(0) ?? 0;
      if (point > 0xffff ? word.length === 2 : word.length === 1) this.#set(point, id);
    }
    const bytes = Array.from({ length: 256 }, (_, byte) => vocab.get(byteWord(byte)) ?? none);
    this.#idOfByte = Int32Array.from(model.byte_fallback ? bytes : bytes.fill(none));
    this.#unknown = new Unknown(model, vocab);
    this.#whole = model.ignore_merges ? vocab : null;
  }

  encode(word: string, out: number[]): void {
    const whole = this.#whole?.get(word);
    if (whole !== undefined) {
      out.push(whole);
      return;
    }
    const symbols = new Int32Array(word.length * 3); // a code unit has three bytes at most
    let count = 0;
    let wasUnknown = false;
    for (let at = 0; at < word.length; at++) {
      const unit = word.charCodeAt(at);
      const point = unit >> 11 === 0x1b ? (word.codePointAt(at) ?? 0) : unit;
      if (point > 0xffff) at++;
      const id = (point > 0xffff ? this.#idOfChar.get(point) : this.#idOfUnit[point]) ?? none;
      if (id !== none) {
        symbols[count++] = id;
        wasUnknown = false;
        continue;
      }
      const bytes = this.#encoder.encode(String.fromCodePoint(point));
      if (bytes.every((byte) => this.#idOfByte[byte] !== none)) {
        for (const byte of bytes) symbols[count++] = this.#idOfByte[byte] ?? none;
        wasUnknown = false;
        continue;
      }
      const symbol = this.#unknown.symbol(wasUnknown);
      wasUnknown = true;
      if (symbol !== none) symbols[count++] = symbol;
    }
    this.#merger.merge(symbols, count, out);
  }

  #set(point: number, id: number): void {
    if (point > 0xffff) this.#idOfChar.set(point, id);
    else this.#idOfUnit[point] = id;
  }
}

/** What stands for a character that the vocabulary lacks: a token, or nothing. */
class Unknown {
  readonly #id: number;
  readonly #fuses: boolean;

  constructor({ unk_token, fuse_unk }: Model, vocab: ReadonlyMap<string, number>) {
    this.#id = unk_token === null ? none : (vocab.get(unk_token) ?? none);
    this.#fuses = fuse_unk;
  }

  /** @param wasUnknown whether the character before was lacking, too: one token may stand for both. */
  symbol(wasUnknown: boolean): number {
    return wasUnknown && this.#fuses ? none : this.#id;
  }
}

class WordCache {
  #young = new Map<string, readonly number[]>();
  #old = new Map<string, readonly number[]>();

  get(word: string): readonly number[] | undefined {
    const found = this.#young.get(word);
    if (found !== undefined) return found;
    const kept = this.#old.get(word);
    if (kept !== undefined) this.set(word, kept);
    return kept;
  }

  set(word: string, ids: readonly number[]): void {
    if (this.#young.size >= cachedCountMax) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(word, ids);
  }
}
