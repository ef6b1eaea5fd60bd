// Literal stop strings over text that arrives in pieces. Held back is only the longest end of the
// text that could still become a stop string, so ordinary text is not delayed. The match that ends
// first wins (the longest of those), whatever the pieces: the result does not depend on how tokens
// cut the text. Stop strings never reach a pattern engine.

export type StopResult = {
  /** Text that may leave now. */
  readonly text: string;
  /** The stop string that was found: `text` ends before it (or with it), and nothing follows. */
  readonly stop: string | null;
};

export class StopScanner {
  readonly #stops: readonly string[];
  readonly #includeStop: boolean;
  /** A proper prefix of some stop string, once everything else has left. */
  #held = '';

  /** @param options `includeStop`: the stop string that ends the text is part of it. */
  constructor(stops: readonly string[], options = { includeStop: false }) {
    this.#stops = stops;
    this.#includeStop = options.includeStop;
  }

  /**
   * Takes the next piece. While not `armed` (fewer than `min_tokens` tokens are out) a stop string
   * that ends in this piece is ordinary text; one that only begins in it still counts later.
   */
  push(piece: string, armed: boolean): StopResult {
    const text = this.#held + piece;
    const found = armed ? this.#find(text, this.#held.length) : null;
    if (found !== null) {
      this.#held = '';
      const end = found.start + (this.#includeStop ? found.stop.length : 0);
      return { text: text.slice(0, end), stop: found.stop };
    }
    const keep = this.#openSuffixChars(text);
    this.#held = text.slice(text.length - keep);
    return { text: text.slice(0, text.length - keep), stop: null };
  }

  /** The end of the text, when no stop string can follow any more. */
  flush(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }

  /** The first match that ends after `seenChars`, the longest of those. */
  #find(text: string, seenChars: number): { readonly start: number; readonly stop: string } | null {
    let found: { readonly start: number; readonly stop: string } | null = null;
    let end = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const start = text.indexOf(stop, Math.max(0, seenChars - stop.length + 1));
      if (start < 0) continue;
      const stopEnd = start + stop.length;
      if (found === null || stopEnd < end || (stopEnd === end && start < found.start)) {
        found = { start, stop };
        end = stopEnd;
      }
    }
    return found;
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
