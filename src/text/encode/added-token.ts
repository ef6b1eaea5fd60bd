// Finds added tokens in a text, as Hugging Face's tokenizers do: at each place the longest, with the white
// space beside it where the token takes it along, and only as a word of its own where it must be one.

import * as v from 'valibot';

export const addedTokenSchema = v.object({
  id: v.number(),
  content: v.string(),
  single_word: v.optional(v.boolean(), false),
  lstrip: v.optional(v.boolean(), false),
  rstrip: v.optional(v.boolean(), false),
  normalized: v.optional(v.boolean()),
  special: v.optional(v.boolean(), false),
});

export type AddedToken = v.InferOutput<typeof addedTokenSchema>;

type Node = { readonly next: Map<number, Node>; token: AddedToken | null };

const wordChar = '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]';
const endsAsWord = new RegExp(`${wordChar}$`, 'u');
const beginsAsWord = new RegExp(`^${wordChar}`, 'u');
const space = /\p{White_Space}/u; // JavaScript's own \s and trim take U+FEFF for white space

export class AddedTokens {
  readonly #root: Node = { next: new Map(), token: null };
  /** By code unit: whether a token begins so. */
  readonly #begins = new Uint8Array(0x10000);

  constructor(tokens: readonly AddedToken[]) {
    for (const token of tokens) {
      if (token.content === '') continue;
      let node = this.#root;
      for (let at = 0; at < token.content.length; at++) {
        const unit = token.content.charCodeAt(at);
        const next: Node = node.next.get(unit) ?? { next: new Map(), token: null };
        node.next.set(unit, next);
        node = next;
      }
      node.token ??= token;
      this.#begins[token.content.charCodeAt(0)] = 1;
    }
  }

  /** Texts and, between them, ids of added tokens. No text is empty. */
  split(text: string): (string | number)[] {
    const pieces: (string | number)[] = [];
    let doneTo = 0;
    for (let at = 0; at < text.length; at++) {
      if (this.#begins[text.charCodeAt(at)] === 0) continue;
      const token = this.#longestAt(text, at);
      if (token === null) continue;
      const end = at + token.content.length;
      if (!token.single_word || standsAlone(text, at, end)) {
        const from = Math.max(doneTo, token.lstrip ? spacesBegin(text, at) : at);
        if (doneTo < from) pieces.push(text.slice(doneTo, from));
        pieces.push(token.id);
        doneTo = token.rstrip ? spacesEnd(text, end) : end;
      }
      at = end - 1;
    }
    if (doneTo < text.length) pieces.push(doneTo === 0 ? text : text.slice(doneTo));
    return pieces;
  }

  #longestAt(text: string, begin: number): AddedToken | null {
    let node: Node | undefined = this.#root;
    let found: AddedToken | null = null;
    for (let at = begin; node !== undefined; at++) {
      found = node.token ?? found;
      node = at < text.length ? node.next.get(text.charCodeAt(at)) : undefined;
    }
    return found;
  }
}

function standsAlone(text: string, begin: number, end: number): boolean {
  return (
    !endsAsWord.test(text.slice(Math.max(begin - 2, 0), begin)) &&
    !beginsAsWord.test(text.slice(end, end + 2))
  );
}

function spacesBegin(text: string, end: number): number {
  let at = end;
  while (at > 0 && space.test(text.charAt(at - 1))) at--;
  return at;
}

function spacesEnd(text: string, begin: number): number {
  let at = begin;
  while (at < text.length && space.test(text.charAt(at))) at++;
  return at;
}
