// Literal stop strings over text that arrives in pieces. Held back is only the longest end of the
// text that could still become a stop string, so ordinary text is not delayed. The match that ends
// first wins (the longest of those), whatever the pieces: the result does not depend on how tokens
// cut the text. Stop strings never reach a pattern engine.

export type StopResult = {
  /** Text that may leave now. */
  readonly text: string;
  /** A stop string was found: `text` ends before it, and nothing follows. */
  readonly stopped: boolean;
};

export class StopScanner {
  readonly #stops: readonly string[];
  /** A proper prefix of some stop string, once everything else has left. */
  #held = '';

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /**
   * Takes the next piece. While not `armed` (fewer than `min_tokens` tokens are out) a stop string
   * that ends in this piece is ordinary text; one that only begins in it still counts later.
   */
  push(piece: string, armed: boolean): StopResult {
    const text = this.#held + piece;
    const cut = armed ? this.#findStart(text, this.#held.length) : -1;
    if (cut >= 0) {
      this.#held = '';
      return { text: text.slice(0, cut), stopped: true };
    }
    const keep = this.#openSuffixChars(text);
    this.#held = text.slice(text.length - keep);
    return { text: text.slice(0, text.length - keep), stopped: false };
  }

  /** The end of the text, when no stop string can follow any more. */
  flush(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }

  /** Where the first match that ends after `seenChars` begins, or -1. */
  #findStart(text: string, seenChars: number): number {
    let start = -1;
    let end = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop, Math.max(0, seenChars - stop.length + 1));
      if (at < 0) continue;
      const stopEnd = at + stop.length;
      if (stopEnd < end || (stopEnd === end && at < start)) {
        start = at;
        end = stopEnd;
      }
    }
    return start;
  }

  /** Length of the longest end of `text` that is the beginning of a stop string. */
  #openSuffixChars(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let chars = Math.min(stop.length - 1, text.length); chars > longest; chars--) {
        if (stop.startsWith(text.slice(text.length - chars))) longest = chars;
      }
    }
    return longest;
  }
}
