// All token chunks for one gateway come through one subscription; this hands each to the request it
// belongs to, by the last part of its subject. Chunks of requests that are over are dropped.

import { type TokensMessage, tokensSchema } from '../protocol/message.ts';
import type { Subjects } from '../protocol/subject.ts';
import { toFault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import type { Bus, Ending } from './bus.ts';
import { decode } from './codec.ts';
import { isPlainChunk } from './plain-chunk.ts';

export type ChunkHandler = {
  onChunk(chunk: TokensMessage): void;
  /** Something arrived for this request that is no chunk. */
  onBadChunk(why: string): void;
};

export class StreamHub {
  readonly #handlers = new Map<string, ChunkHandler>();
  readonly #subscription: Ending;
  readonly #subjects: Subjects;
  readonly #gateway: string;
  readonly #log: Log;

  constructor(options: { bus: Bus; subjects: Subjects; gateway: string; log: Log }) {
    this.#subjects = options.subjects;
    this.#gateway = options.gateway;
    this.#log = options.log;
    const subject = options.subjects.tokensOf(options.gateway);
    this.#subscription = options.bus.subscribe(subject, (payload, at) => this.#take(payload, at));
  }

  /** The subject on which `requestId`'s chunks must be published. */
  subjectOf(requestId: string): string {
    return this.#subjects.tokens(this.#gateway, requestId);
  }

  open(requestId: string, handler: ChunkHandler): void {
    this.#handlers.set(requestId, handler);
  }

  close(requestId: string): void {
    this.#handlers.delete(requestId);
  }

  /** Requests whose chunks are expected. */
  get openCount(): number {
    return this.#handlers.size;
  }

  stop(): Promise<void> {
    return this.#subscription.stop();
  }

  #take(payload: Uint8Array, subject: string): void {
    const requestId = subject.slice(subject.lastIndexOf('.') + 1);
    const handler = this.#handlers.get(requestId);
    if (handler === undefined) {
      this.#log.debug('token chunk of no running request', { request: requestId });
      return;
    }
    try {
      const chunk = decode(tokensSchema, payload, 'token chunk', isPlainChunk);
      if (chunk.requestId === requestId) handler.onChunk(chunk);
      else handler.onBadChunk(`a chunk of ${chunk.requestId} came on the subject of ${requestId}`);
    } catch (error) {
      handler.onBadChunk(toFault(error).message);
    }
  }
}
