// Arriving tokens → pieces of text, one per token where it completes some. A token whose text is
// held back (half a character, the possible beginning of a stop string) makes no piece of its own;
// its text leaves with a later one. The last piece carries the finish reason.

import type { FinishReason, TokenLogprobs } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import type { Detokenizer, SpecialOptions } from '../text/detokenizer.ts';
import { StopScanner } from '../text/stop.ts';
import type { Ask } from './ask.ts';
import { endlessFault } from './running.ts';
import type { CallDelta } from './said.ts';
import type { Choice, Started } from './start.ts';
import { type SentToken, TokenTrail } from './token-trail.ts';

export type Piece = {
  /** Empty only on the last piece. */
  readonly text: string;
  /** The tokens that this text completes; null where nobody asked for them. */
  readonly tokens: readonly SentToken[] | null;
  /** All tokens generated since the last piece, whatever became of their text. */
  readonly ids: readonly number[];
  readonly finish: FinishReason | 'tool_calls' | null;
  /** What the model thought; goes before the text. */
  readonly reasoning?: string;
  readonly call?: CallDelta;
  /** How many of `ids` are thoughts, sent or left out; absent: none. */
  readonly thoughtTokens?: number;
  /** The stop string or stop token that ended it; null for all other ends. */
  readonly stopReason: string | number | null;
};

export type ReplyAsk = Ask & SpecialOptions;

type Part = { readonly text: string; readonly tokens: readonly SentToken[] };
const nothing: Part = { text: '', tokens: [] };

export class Reply {
  readonly #choice: Choice;
  readonly #signal: AbortSignal;
  readonly #detokenizer: Detokenizer;
  readonly #scanner: StopScanner;
  /** Null where nobody asked for logprobs. */
  readonly #trail: TokenTrail | null;
  /** Nothing was to be generated. */
  readonly #isSilent: boolean;
  #tokenCount = 0;
  #logprobSum = 0;
  #ids: number[] = [];

  constructor(choice: Choice, { text, signal }: Pick<Started, 'text' | 'signal'>, ask: ReplyAsk) {
    this.#choice = choice;
    this.#signal = signal;
    this.#choice = choice;
    this.#signal = signal;
    this.#isSilent = ask.maxTokens === 0;
    this.#detokenizer = text.detokenizer(ask);
    this.#scanner = new StopScanner(ask.stops, ask);
    const wanted = ask.sampling.logprobs !== null;
    this.#trail = wanted ? new TokenTrail(text.tokenizer, ask) : null;
  }

  /**
   * Tokens generated so far: those whose text was shown or cut, up to and including the one that
   * completed a stop string. A stop token is not among them.
   */
  get tokenCount(): number {
    return this.#tokenCount;
  }

  /** Of its tokens, as far as they came with logprobs. */
  get meanLogprob(): number {
    return this.#tokenCount === 0 ? 0 : this.#logprobSum / this.#tokenCount;
  }

  /** Once only. Leaving early, or finding a stop string, cancels the generation. */
  async *pieces(): AsyncGenerator<Piece, void> {
    const { flow } = this.#choice;
    try {
      for (;;) {
        const next = await flow.next();
        if (next.done === true) throw endlessFault();
        const delta = next.value;
        if (this.#isSilent) {
          yield this.#piece(nothing, 'length');
          return;
        }
        let part = nothing;
        for (const [index, id] of delta.ids.entries()) {
          if (part.text !== '') yield this.#piece(part);
          const found = this.#take(id, delta.logprobs?.[index]);
          part = found.part;
          if (found.stop !== null) {
            yield this.#piece(part, 'stop', found.stop);
            return;
          }
        }
        if (delta.finish !== null) {
          yield this.#lastPiece(part, delta.finish, delta.stopToken ?? null);
          return;
        }
        if (part.text !== '') yield this.#piece(part);
      }
    } catch (thrown) {
      throw this.#signal.aborted ? this.#signal.reason : thrown;
    } finally {
      await flow.return?.();
    }
  }

  #take(
    id: number,
    logprobs: TokenLogprobs | undefined,
  ): { readonly part: Part; readonly stop: string | null } {
    this.#tokenCount++;
    this.#logprobSum += logprobs?.logprob ?? 0;
    this.#ids.push(id);
    const completed = this.#detokenizer.push(id);
    if (this.#trail !== null) {
      if (logprobs === undefined) throw new Fault('plane', 'a token came without its logprobs');
      this.#trail.push(id, completed, logprobs);
    }
    const { text, stop } = this.#scanner.push(completed, this.#armed);
    const chars = text.length;
    const tokens =
      stop === null
        ? this.#trail?.take(chars, this.#detokenizer.isWaiting)
        : this.#trail?.cut(chars);
    return { part: { text, tokens: tokens ?? [] }, stop };
  }

  /** Stop strings count only where they end after `min_tokens` tokens. */
  get #armed(): boolean {
    return this.#tokenCount > this.#choice.request.sampling.minTokens;
  }

  /** `part` and all that was held back; even that may still complete a stop string. */
  #lastPiece(part: Part, finish: FinishReason, stopToken: number | null): Piece {
    const unfinished = this.#detokenizer.flush();
    this.#trail?.end(unfinished);
    const last = this.#scanner.push(unfinished, this.#armed);
    if (last.stop !== null) {
      const tokens = this.#trail?.cut(last.text.length) ?? [];
      return this.#piece(joined(part, { text: last.text, tokens }), 'stop', last.stop);
    }
    const text = last.text + this.#scanner.flush();
    const tokens = this.#trail?.rest() ?? [];
    return this.#piece(joined(part, { text, tokens }), finish, stopToken);
  }

  #piece(
    { text, tokens }: Part,
    finish: FinishReason | null = null,
    stopReason: string | number | null = null,
  ): Piece {
    const ids = this.#ids;
    this.#ids = [];
    return { text, tokens: this.#trail === null ? null : tokens, ids, finish, stopReason };
  }
}

function joined(a: Part, b: Part): Part {
  return { text: a.text + b.text, tokens: [...a.tokens, ...b.tokens] };
}
