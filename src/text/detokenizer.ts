// Token ids → text while they arrive. Joined, the pieces equal decoding all ids at once. A token may
// end inside a character: that part waits for the next token, so no half character ever leaves.
//
//   ids      … a b │ c d │ e         the window: [prefix, read) is context, already out as text
//               prefix  read  end    text of [prefix, end) minus text of [prefix, read) is new
//
// Context is needed because some decoders treat the first token of a text differently (a leading
// space goes). The window moves on whenever its text is whole, so a token costs O(1). The last prompt tokens are
// deliberately no context: the text is that of the completion alone, as a full decode gives it.

import type { Tokenizer } from './tokenizer.ts';

/** U+FFFD: what a decoder prints for bytes that are no character, or not one yet. */
const replacement = '\ufffd';

/** A whole character needs 4 bytes at most; a window this long without one is not waiting for it. */
const pendingTokensMax = 16;

/** What of a tokenizer is needed here. */
export type Decoder = Pick<Tokenizer, 'specialIds' | 'decode'>;

export type SpecialOptions = {
  /** Special tokens are no text… */
  readonly skipSpecial: boolean;
  /** … but for these: somebody looks for them in the text. */
  readonly shownIds?: ReadonlySet<number>;
};

/** Tokens that never become text. */
export function hiddenIds(
  tokenizer: Pick<Tokenizer, 'specialIds'>,
  { skipSpecial, shownIds }: SpecialOptions,
): ReadonlySet<number> {
  if (!skipSpecial) return new Set();
  return shownIds === undefined ? tokenizer.specialIds : tokenizer.specialIds.difference(shownIds);
}

export class Detokenizer {
  readonly #tokenizer: Decoder;
  readonly #hiddenIds: ReadonlySet<number>;
  #window: number[] = [];
  /** Tokens at the window's start that are context. */
  #contextCount = 0;
  /** Text of the context, plus what of the later tokens is already out. */
  #outChars = 0;

  constructor(tokenizer: Decoder, options: SpecialOptions) {
    this.#tokenizer = tokenizer;
    this.#hiddenIds = hiddenIds(tokenizer, options);
  }

  /** The last token may have ended inside a character. */
  get isWaiting(): boolean {
    return this.#window.length > this.#contextCount;
  }

  /** The text that `id` completes; often that of one token, sometimes none. */
  push(id: number): string {
    if (this.#hiddenIds.has(id)) return '';
    this.#window.push(id);
    const text = this.#decode(this.#window);
    const pendingCount = this.#window.length - this.#contextCount;
    const inDoubt = text.endsWith(replacement);
    const waiting = inDoubt || text.length <= this.#outChars;
    if (waiting && pendingCount < pendingTokensMax) {
      // Only the last character is in doubt; what stands before it is settled.
      return this.#emit(text, text.length - (inDoubt ? replacement.length : 0));
    }
    const piece = this.#emit(text, text.length);
    this.#moveOn(waiting);
    return piece;
  }

  /** What was printed becomes the context of what follows. */
  #moveOn(isBroken: boolean): void {
    const known = this.#window.slice(0, this.#contextCount);
    const fresh = this.#window.slice(this.#contextCount);
    // Broken bytes were printed as they are: later ones must not join them, so they are no context.
    this.#window = isBroken ? known : fresh;
    this.#outChars = this.#decode(this.#window).length;
    if (this.#outChars === 0 && !isBroken) {
      // Without any text of its own (a byte order mark) it would leave the next token the first one.
      this.#window = [...known, ...fresh];
      this.#outChars = this.#decode(this.#window).length;
    }
    this.#contextCount = this.#window.length;
  }

  /** What still waits: at the end an unfinished character is printed as U+FFFD. */
  flush(): string {
    const text = this.#decode(this.#window);
    return this.#emit(text, text.length);
  }

  #emit(text: string, endChars: number): string {
    if (endChars <= this.#outChars) return '';
    const piece = text.slice(this.#outChars, endChars);
    this.#outChars = endChars;
    return piece;
  }

  #decode(ids: readonly number[]): string {
    // Hidden ones are not in the window.
    return this.#tokenizer.decode(ids, { skipSpecial: false });
  }
}
