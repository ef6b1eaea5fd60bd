// One answer in the making: the reply's pieces in OpenAI's shapes, and the account of what they cost.

import type { Fault } from '../std/fault.ts';
import {
  type AnswerHead,
  type ChatChunk,
  type ChatCompletion,
  completion,
  pieceChunk,
  usageChunk,
} from './chunk.ts';
import { faultFields } from './fault.ts';
import type { Gateway } from './gateway.ts';
import type { ChatRequest } from './intake.ts';
import { type Piece, Reply } from './reply.ts';
import type { Call } from './route.ts';
import type { Started } from './start.ts';
import { timingReport, type Usage, usageOf } from './usage.ts';

const timingHeader = 'x-tdist-timing';

export class Turn {
  readonly #gateway: Gateway;
  readonly #call: Call;
  readonly #chat: ChatRequest;
  readonly #started: Started;
  readonly #reply: Reply;
  readonly #head: AnswerHead;

  constructor(gateway: Gateway, call: Call, chat: ChatRequest, started: Started) {
    this.#gateway = gateway;
    this.#call = call;
    this.#chat = chat;
    this.#started = started;
    this.#reply = new Reply(started, chat);
    this.#head = {
      id: `chatcmpl-${started.request.requestId}`,
      created: gateway.clock.epochS(),
      model: started.request.model,
      system_fingerprint: `tdist-${gateway.version}`,
    };
  }

  async whole(): Promise<ChatCompletion> {
    const pieces: Piece[] = [];
    for await (const piece of this.#reply.pieces()) pieces.push(piece);
    return completion(this.#head, pieces, this.#finalUsage());
  }

  async *chunks(): AsyncGenerator<ChatChunk, void> {
    const { includeUsage, continuousUsage } = this.#chat;
    const timed = this.#wantsTiming();
    let first = true;
    for await (const piece of this.#reply.pieces()) {
      // Asked for timing but not for usage: the finish chunk is the last, so it carries both.
      const last = piece.finish !== null && timed && !includeUsage;
      const none = includeUsage ? null : undefined;
      const usage = last ? this.#finalUsage() : continuousUsage ? this.#usage() : none;
      yield pieceChunk(this.#head, piece, { first, usage });
      first = false;
    }
    if (includeUsage) yield usageChunk(this.#head, this.#finalUsage());
  }

  headers(): Record<string, string> {
    return { 'x-tdist-route': this.#started.timing().route };
  }

  /** One line for each answer: numbers and names, never text. */
  log(fault: Fault | null): void {
    const timing = this.#started.timing();
    const fields = {
      request: this.#call.requestId,
      id: this.#started.request.requestId,
      model: this.#started.request.model,
      route: timing.route,
      prompt: this.#started.request.promptIds.length,
      tokens: this.#reply.tokenCount,
      ttft_ms: Math.round(this.#started.firstMs - this.#call.arrivedMs),
      total_ms: Math.round(this.#gateway.clock.nowMs() - this.#call.arrivedMs),
    };
    if (fault === null) this.#gateway.log.info('chat answered', fields);
    else if (fault.code === 'cancelled') this.#gateway.log.info('chat cancelled', fields);
    else this.#gateway.log.error('chat broken off', { ...fields, ...faultFields(fault) });
  }

  #wantsTiming(): boolean {
    return this.#call.request.headers.get(timingHeader) === '1';
  }

  #usage(): Usage {
    const promptTokens = this.#started.request.promptIds.length;
    const { cachedTokens } = this.#started.timing();
    return usageOf(promptTokens, this.#reply.tokenCount, cachedTokens);
  }

  #finalUsage(): Usage {
    if (!this.#wantsTiming()) return this.#usage();
    const tdist = timingReport(this.#call.requestId, this.#started.timing(), {
      arrivedMs: this.#call.arrivedMs,
      firstMs: this.#started.firstMs,
      nowMs: this.#gateway.clock.nowMs(),
    });
    return { ...this.#usage(), tdist };
  }
}
