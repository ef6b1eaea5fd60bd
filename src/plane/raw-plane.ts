// A bare connection to NATS as a port, for what needs more than the bus gives: replies counted by the
// dozen, headers, statuses. Its one body is plane/nats-raw.ts; a message is the library's, seen through
// this type.

import type { Fault } from '../std/fault.ts';

export type RawMessage = {
  readonly subject: string;
  readonly reply?: string;
  readonly data: Uint8Array;
  /** `code` 0: no status line. Names as they were written. */
  readonly headers?: { readonly code: number; get(name: string): string };
};

/** One connection, as long as it lives. */
export type RawLink = {
  readonly maxPayloadBytes: number;
  /** Where it leads, for messages. */
  readonly shown: string;
  /** A subject of our own that nobody else uses. */
  inbox(): string;
  /** Throws a Fault `plane` when the connection has gone; so does `subscribe`. */
  publish(
    subject: string,
    payload: Uint8Array,
    options?: { readonly reply?: string; readonly headers?: Readonly<Record<string, string>> },
  ): void;
  /** Answers with how to end it. */
  subscribe(subject: string, handler: (message: RawMessage) => void): () => void;
  /** Calls back once when the connection has gone, at once if it has. Answers with how to forget it. */
  onLost(act: (fault: Fault) => void): () => void;
  /** Calls back when the server refuses a subject for lack of rights. */
  onRefused(act: (subject: string) => void): () => void;
};

export type RawPlane = {
  /** Null while connected or not yet asked for, else why not, in one line fit for a user. */
  trouble(): string | null;
  /**
   * The connection there is, or the next one. Rejects with a Fault `plane` as soon as an attempt fails;
   * attempts go on in the background.
   */
  link(): Promise<RawLink>;
  /** Lets what was published leave. */
  close(): Promise<void>;
};
