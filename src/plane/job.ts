// A request's life on a worker, as far as messages go: who waits for which answer, and where its
// tokens are sent. An answer is given once; later ones are ignored.

import { type Ack, protocolVersion } from '../protocol/message.ts';

export class Pending {
  readonly answer: Promise<Ack>;
  readonly #settle: (ack: Ack) => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<Ack>();
    this.answer = promise;
    this.#settle = resolve;
  }

  settle(ack: Ack): void {
    this.#settle(ack);
  }
}

export type Job = {
  readonly requestId: string;
  readonly op: 'generate' | 'prefill';
  /** Does a `generate` wait for a hand-over? */
  readonly source: 'handover' | 'local';
  /** Subject of its token chunks. */
  readonly stream: string;
  /** Who gets the KV of a `prefill`, and how. */
  readonly generateWorker: string | null;
  /** Who is to fill the reservation through shared memory. */
  readonly contextWorker: string | null;
  readonly kvPath: 'shm' | 'object';
  /** Tokens that it was given, those of the answer that were out already included. */
  readonly givenTokens: number;
  readonly admission: Pending;
  /** Set once a ticket has come. */
  handover: Pending | null;
  /** The latest word on whether it rests; those before it that come late say nothing. */
  pauseTurn: number;
  /** Index after the last token sent, by this worker or by the one before it. */
  nextIndex: number;
  /** Ends a hand-over that is under way when the job ends. */
  readonly over: AbortController;
};

export const yes: Ack = { v: protocolVersion, ok: true };

export function no(code: string, message: string): Ack {
  return { v: protocolVersion, ok: false, code, message: message.slice(0, 4096) };
}
