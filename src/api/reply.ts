// Arriving tokens → pieces of text, one per token where it completes some. A token whose text is
// held back (half a character, the possible beginning of a stop string) makes no piece of its own;
// its text leaves with a later one. The last piece carries the finish reason.

import type { FinishReason, TokenDelta } from '../protocol/request.ts';
import { StopScanner } from '../text/stop.ts';
import { endlessFault, type Started } from './start.ts';

export type Piece = {
  /** Empty only on the last piece. */
  readonly text: string;
  readonly finish: FinishReason | null;
};

export class Reply {
  readonly #started: Started;
  readonly #stops: readonly string[];
  #tokenCount = 0;

  constructor(started: Started, stops: readonly string[]) {
    this.#started = started;
    this.#stops = stops;
  }

  /**
   * Tokens generated so far: those whose text was shown or cut, up to and including the one that
   * completed a stop string. A stop token is not among them.
   */
  get tokenCount(): number {
    return this.#tokenCount;
  }

  /** Once only. Leaving early, or finding a stop string, cancels the generation. */
  async *pieces(): AsyncGenerator<Piece, void> {
    const { first, rest } = this.#started;
    const detokenizer = this.#started.text.detokenizer();
    const scanner = new StopScanner(this.#stops);
    try {
      let delta: TokenDelta = first;
      for (;;) {
        let text = '';
        for (const id of delta.ids) {
          if (text !== '') yield { text, finish: null };
          this.#tokenCount++;
          const found = scanner.push(detokenizer.push(id), this.#armed);
          text = found.text;
          if (found.stopped) {
            yield { text, finish: 'stop' };
            return;
          }
        }
        if (delta.finish !== null) {
          yield this.#lastPiece(text, delta.finish, scanner, detokenizer.flush());
          return;
        }
        if (text !== '') yield { text, finish: null };
        const next = await rest.next();
        if (next.done === true) throw endlessFault();
        delta = next.value;
      }
    } catch (thrown) {
      throw this.#started.signal.aborted ? this.#started.signal.reason : thrown;
    } finally {
      await rest.return?.();
    }
  }

  /** Stop strings count only where they end after `min_tokens` tokens. */
  get #armed(): boolean {
    return this.#tokenCount > this.#started.request.sampling.minTokens;
  }

  /** `text` and all that was held back; even that may still complete a stop string. */
  #lastPiece(text: string, finish: FinishReason, scanner: StopScanner, unfinished: string): Piece {
    const last = scanner.push(unfinished, this.#armed);
    if (last.stopped) return { text: text + last.text, finish: 'stop' };
    return { text: text + last.text + scanner.flush(), finish };
  }
}
