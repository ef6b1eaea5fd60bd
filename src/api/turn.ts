// One request's answer in the making: the choices' pieces in the shape of their route, and the account
// of what they cost.

import type { Fault } from '../std/fault.ts';
import { faultFields } from './fault.ts';
import type { Gateway } from './gateway.ts';
import { merged } from './merge.ts';
import { type Piece, Reply, type ReplyAsk } from './reply.ts';
import type { Call } from './route.ts';
import type { AnswerHead, ChunkUsage, Shape } from './shape.ts';
import type { Framing } from './sse.ts';
import { type Stage, throughStages } from './stage.ts';
import type { Started } from './start.ts';
import { choiceReport, timingReport, type Usage, usageOf } from './usage.ts';

const timingHeader = 'x-tdist-timing';

export type TurnOptions = {
  readonly ask: ReplyAsk;
  readonly shape: Shape;
  /** Made anew for each choice. */
  readonly stagesOf: (promptIndex: number) => readonly Stage[];
};

/** A piece, and whose it is. */
type Numbered = { readonly index: number; readonly piece: Piece };

export class Turn {
  readonly #gateway: Gateway;
  readonly #call: Call;
  readonly #options: TurnOptions;
  readonly #started: Started;
  readonly #replies: readonly Reply[];
  readonly #head: AnswerHead;
  #thoughtTokens = 0;

  constructor(gateway: Gateway, call: Call, started: Started, options: TurnOptions) {
    this.#gateway = gateway;
    this.#call = call;
    this.#options = options;
    this.#started = started;
    this.#replies = started.choices.map((choice) => new Reply(choice, started, options.ask));
    this.#head = {
      id: `${options.shape.idPrefix}${started.choices[0]?.request.requestId}`,
      created: gateway.clock.epochS(),
      model: started.model,
      system_fingerprint: `tdist-${gateway.version}`,
    };
  }

  async whole(): Promise<object> {
    const all: Piece[][] = this.#replies.map(() => []);
    for await (const { index, piece } of this.#pieces()) {
      this.#thoughtTokens += piece.thoughtTokens ?? 0;
      all[index]?.push(piece);
    }
    return this.#options.shape.whole(this.#head, this.#best(all), this.#finalUsage());
  }

  async *chunks(): AsyncGenerator<object, void> {
    const { includeUsage, continuousUsage } = this.#options.ask;
    const { shape } = this.#options;
    const timed = this.#wantsTiming();
    const none = includeUsage ? null : undefined;
    const several = this.#replies.length > 1;
    const opened = new Set<number>();
    let openCount = this.#replies.length;
    const usageNow = (): ChunkUsage => (continuousUsage ? this.#usage() : none);
    for await (const { index, piece } of this.#pieces()) {
      this.#thoughtTokens += piece.thoughtTokens ?? 0;
      if (several && opened.size === 0) {
        for (const each of this.#replies.keys()) {
          const options = { index: each, first: true, usage: usageNow() };
          const opening = shape.opening(this.#head, options);
          if (opening === null) continue;
          opened.add(each);
          yield opening;
        }
      }
      if (piece.finish !== null) openCount--;
      // Asked for timing but not for usage: the finish chunk is the last, so it carries both.
      const last = openCount === 0 && timed && !includeUsage;
      const usage = last ? this.#finalUsage() : usageNow();
      yield* shape.chunk(this.#head, piece, { index, first: !opened.has(index), usage });
      opened.add(index);
    }
    if (includeUsage) yield shape.usageChunk(this.#head, this.#finalUsage());
  }

  /** Of a stream; undefined: as a chat's. */
  get framing(): Framing | undefined {
    return this.#options.shape.framing;
  }

  headers(): Record<string, string> {
    return { 'x-tdist-route': this.#started.timing().route };
  }

  /** One line for each answer: numbers and names, never text. */
  log(fault: Fault | null): void {
    const timing = this.#started.timing();
    const fields = {
      request: this.#call.requestId,
      id: this.#head.id.slice(this.#options.shape.idPrefix.length),
      model: this.#started.model,
      route: timing.route,
      ...(timing.migrations === undefined ? {} : { migrations: timing.migrations }),
      prompt: this.#promptTokens,
      tokens: this.#tokenCount,
      ...(this.#replies.length === 1 ? {} : { choices: this.#replies.length }),
      ttft_ms: Math.round(this.#started.firstMs - this.#call.arrivedMs),
      total_ms: Math.round(this.#gateway.clock.nowMs() - this.#call.arrivedMs),
    };
    const { log } = this.#gateway;
    const { name } = this.#options.shape;
    if (fault === null) log.info(`${name} answered`, fields);
    else if (fault.code === 'cancelled') log.info(`${name} cancelled`, fields);
    else log.error(`${name} broken off`, { ...fields, ...faultFields(fault) });
  }

  #pieces(): AsyncGenerator<Numbered, void> {
    const sources = this.#replies.map((reply, index) => {
      const promptIndex = this.#started.choices[index]?.promptIndex ?? 0;
      const stages = this.#options.stagesOf(promptIndex);
      return numbered(index, throughStages(reply.pieces(), stages));
    });
    const [only] = sources;
    return sources.length === 1 && only !== undefined ? only : merged(sources);
  }

  /** Of those drawn for each prompt the likeliest by the mean over their tokens, likeliest first. */
  #best(all: readonly (readonly Piece[])[]): readonly (readonly Piece[])[] {
    const { drawCount, choiceCount } = this.#options.ask;
    if (drawCount === choiceCount) return all;
    const drawn = all.map((pieces, index) => {
      return { pieces, score: this.#replies[index]?.meanLogprob ?? 0 };
    });
    const prompts = this.#started.prompts.keys();
    return [...prompts].flatMap((prompt) =>
      drawn
        .slice(prompt * drawCount, (prompt + 1) * drawCount)
        .sort((a, b) => b.score - a.score)
        .slice(0, choiceCount)
        .map(({ pieces }) => pieces),
    );
  }

  #wantsTiming(): boolean {
    return this.#call.request.headers.get(timingHeader) === '1';
  }

  get #promptTokens(): number {
    return this.#started.prompts.reduce((sum, { length }) => sum + length, 0);
  }

  get #tokenCount(): number {
    return this.#replies.reduce((sum, { tokenCount }) => sum + tokenCount, 0);
  }

  #usage(): Usage {
    return usageOf(
      this.#promptTokens,
      this.#tokenCount,
      this.#started.cachedTokens(),
      this.#thoughtTokens,
    );
  }

  #finalUsage(): Usage {
    if (!this.#wantsTiming()) return this.#usage();
    const tdist = timingReport(this.#call.requestId, this.#started.timing(), {
      arrivedMs: this.#call.arrivedMs,
      firstMs: this.#started.firstMs,
      nowMs: this.#gateway.clock.nowMs(),
    });
    const { choices } = this.#started;
    if (choices.length === 1) return { ...this.#usage(), tdist };
    const each = choices.map(({ flow }) => choiceReport(flow.timing()));
    const reports = each.filter((report) => report !== null);
    return { ...this.#usage(), tdist: { ...tdist, choices: reports } };
  }
}

async function* numbered(
  index: number,
  pieces: AsyncGenerator<Piece, void>,
): AsyncGenerator<Numbered, void> {
  for await (const piece of pieces) yield { index, piece };
}
