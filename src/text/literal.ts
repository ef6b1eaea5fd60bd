// Text of a client stays text. A tokenizer finds its special tokens wherever they are written, and a
// template puts the client's words and its own special tokens into one text: a user who writes
// `<|im_end|>` could end the turn and speak as the system. So a mark goes into each special word of
// the client's, behind its first character, before the template sees it; behind the template the text
// is cut at the marks and its parts are tokenised each by itself. No part has the whole word any more,
// and their ids stand for the same text (a tokenizer that begins each
// text with a space of its own adds one there).

/** Noncharacters: Unicode keeps them for such use within a program. */
const marks = Array.from({ length: 32 }, (_, i) => String.fromCodePoint(0xfdd0 + i));

export class Literal {
  readonly #words: readonly string[];
  readonly #mark: string;

  /** @param words special tokens; @param texts all that the client wrote, whatever its form. */
  constructor(words: Iterable<string>, texts: unknown) {
    const all = JSON.stringify(texts) ?? '';
    // Models have hundreds of these, most beginning alike: usual texts are searched but once or twice.
    const begun = new Map<string, boolean>();
    this.#words = [...words].filter((word) => {
      if (word.length < 2) return false; // it has no inside where it could be marked
      const begin = word.slice(0, 2);
      const isBegun = begun.get(begin) ?? all.includes(escaped(begin));
      begun.set(begin, isBegun);
      return isBegun && all.includes(escaped(word));
    });
    this.#mark = marks.find((mark) => !all.includes(mark)) ?? '\ufdd0';
  }

  /** The same value, marked where it must be: in texts and names of members, at any depth. */
  protect<T>(value: T): T {
    // Texts stay texts, lists lists and objects objects of the same members: the type is the same.
    return this.#words.length === 0 ? value : (this.#marked(value) as T);
  }

  /** Parts of a rendered text; joined they are what it would have been without marks. */
  split(text: string): readonly string[] {
    return this.#words.length === 0 ? [text] : text.split(this.#mark);
  }

  #marked(value: unknown): unknown {
    if (typeof value === 'string') return this.#markedText(value);
    if (Array.isArray(value)) return value.map((entry) => this.#marked(entry));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, entry]) => [this.#markedText(name), this.#marked(entry)]),
    );
  }

  #markedText(text: string): string {
    let marked = text;
    for (const word of this.#words) {
      marked = marked.replaceAll(word, () => word.charAt(0) + this.#mark + word.slice(1));
    }
    return marked;
  }
}

/** As it stands within JSON. */
function escaped(word: string): string {
  return JSON.stringify(word).slice(1, -1);
}
