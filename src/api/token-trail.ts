// Which tokens go with which text. Text can leave later than its token came (half a character, the
// possible beginning of a stop string), and a stop string may cut a token in two. A token leaves
// with the text that completes it. Joined, the tokens' bytes are the answer's, and so are their texts,
// but for a character of several tokens: none of these is text by itself, each says U+FFFD as OpenAI's.

import type { TokenLogprobs } from '../protocol/request.ts';
import { type Detokenizer, hiddenIds, type SpecialOptions } from '../text/detokenizer.ts';
import { utf8 } from '../text/token-bytes.ts';
import type { Tokenizer } from '../text/tokenizer.ts';

export type Alternative = {
  readonly id: number;
  readonly token: string;
  readonly bytes: readonly number[] | null;
  readonly logprob: number;
};

/** A token whose text has left, with the likeliest ones in its place. */
export type SentToken = Omit<Alternative, 'logprob'> & {
  readonly id: number;
  /** Null: nothing stands before it that could have made it likely. */
  readonly logprob: number | null;
  readonly top: readonly Alternative[];
  /** The text of the answer that it completes. */
  readonly text: string;
};

type Waiting = {
  readonly id: number;
  readonly logprobs: TokenLogprobs;
  /** Where its text begins in the answer, in characters. */
  readonly begin: number;
  text: string;
};

/** A prompt's tokens as if they had been generated; `scores` are those of all but the first. */
export function promptTokens(
  ids: readonly number[],
  scores: readonly TokenLogprobs[],
  { tokenizer, detokenizer }: { readonly tokenizer: Tokenizer; readonly detokenizer: Detokenizer },
): SentToken[] {
  return ids.map((id, index) => {
    const score = scores[index - 1];
    const pushed = detokenizer.push(id);
    const text = index === ids.length - 1 ? pushed + detokenizer.flush() : pushed;
    const { text: token, bytes } = tokenizer.describe(id);
    const top = score === undefined ? [] : alternatives(score, tokenizer);
    return { id, token, bytes, logprob: score?.logprob ?? null, top, text };
  });
}

function alternatives({ top }: TokenLogprobs, tokenizer: Tokenizer): Alternative[] {
  return top.map(([id, logprob]) => {
    const { text: token, bytes } = tokenizer.describe(id);
    return { id, token, bytes, logprob };
  });
}

export class TokenTrail {
  readonly #tokenizer: Tokenizer;
  readonly #hiddenIds: ReadonlySet<number>;
  #waiting: Waiting[] = [];
  #pushedChars = 0;
  #sentChars = 0;

  constructor(tokenizer: Tokenizer, options: SpecialOptions) {
    this.#tokenizer = tokenizer;
    this.#hiddenIds = hiddenIds(tokenizer, options);
  }

  /** A token came and completed `text`. */
  push(id: number, text: string, logprobs: TokenLogprobs): void {
    this.#waiting.push({ id, logprobs, begin: this.#pushedChars, text });
    this.#pushedChars += text.length;
  }

  /** Text that no further token will complete: the last one has it. */
  end(text: string): void {
    const last = this.#waiting.at(-1);
    if (last !== undefined) last.text += text;
  }

  /** So many characters left; returns the tokens that they complete. `isOpen`: not yet the last. */
  take(chars: number, isOpen: boolean): SentToken[] {
    if (chars === 0) return [];
    this.#sentChars += chars;
    const waits = this.#waiting.findIndex(
      ({ begin, text }, index) =>
        begin + text.length > this.#sentChars || (isOpen && index === this.#waiting.length - 1),
    );
    const count = waits < 0 ? this.#waiting.length : waits;
    return this.#waiting.splice(0, count).map((token) => this.#sent(token, token.text));
  }

  /** All that wait: nothing is held back any more. */
  rest(): SentToken[] {
    return this.#waiting.splice(0).map((token) => this.#sent(token, token.text));
  }

  /** So many characters left and no more will: what lies behind them is cut off. */
  cut(chars: number): SentToken[] {
    this.#sentChars += chars;
    const kept = this.#waiting.splice(0).filter(({ begin }) => begin < this.#sentChars);
    return kept.map((token) =>
      this.#sent(token, token.text.slice(0, this.#sentChars - token.begin)),
    );
  }

  #sent({ id, logprobs, text: whole }: Waiting, text: string): SentToken {
    const top = alternatives(logprobs, this.#tokenizer);
    const token = whole === text ? this.#token(id, text) : text;
    const bytes = this.#bytes(id, whole, text);
    return { id, token, bytes, logprob: logprobs.logprob, top, text };
  }

  /** The text that it completed, unless part of a character lies in another token. */
  #token(id: number, text: string): string {
    if (this.#hiddenIds.has(id)) return text;
    const { text: alone } = this.#tokenizer.describe(id);
    return alone.includes('\ufffd') || text.includes('\ufffd') ? alone : text;
  }

  /** Its own bytes, less those of the text that was cut off; none where it is never shown. */
  #bytes(id: number, whole: string, text: string): readonly number[] | null {
    if (this.#hiddenIds.has(id)) return null;
    const { bytes } = this.#tokenizer.describe(id);
    if (bytes === null || whole === text) return bytes;
    const cut = utf8(whole.slice(text.length));
    const isTail = cut.every((byte, i) => bytes[bytes.length - cut.length + i] === byte);
    return isTail ? bytes.slice(0, bytes.length - cut.length) : utf8(text);
  }
}
