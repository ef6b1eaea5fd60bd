// The object store over NATS JetStream, on a connection of its own that is made at the first use. Keeps
// what belongs to one connection (the inbox, which buckets are known to exist) and says what is wrong.

import { type Clock, realClock } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import { type Chance, realChance } from '../std/prng.ts';
import { CallScope, flaw } from './call-scope.ts';
import { JetStream } from './jetstream.ts';
import { type NatsBusOptions, openRawPlane } from './nats.ts';
import { NatsBucket } from './nats-bucket.ts';
import type { BucketOptions, ObjectBucket, ObjectCall, ObjectStore } from './object-store.ts';
import type { RawPlane } from './raw-plane.ts';

/** So long `trouble` repeats a refusal; then the next call may find out whether it still holds. */
const refusalKeepMs = 10_000;

export type NatsObjectStoreOptions = NatsBusOptions & { readonly chance?: Chance };

export function openNatsObjectStore(options: NatsObjectStoreOptions): ObjectStore {
  return new NatsObjectStore(options);
}

/** What the buckets need of their store. */
export type BucketHost = {
  readonly clock: Clock;
  readonly chance: Chance;
  /** Runs one call: connected, with its deadline, ended by a lost connection. */
  run<T>(
    what: string,
    call: ObjectCall,
    act: (jetStream: JetStream, scope: CallScope) => Promise<T>,
  ): Promise<T>;
  /** Work that goes on behind a call's back; `close` waits for it. It must not throw. */
  later(work: Promise<void>): void;
};

class NatsObjectStore implements ObjectStore, BucketHost {
  readonly clock: Clock;
  readonly chance: Chance;
  readonly #plane: RawPlane;
  readonly #cleaning = new Set<Promise<void>>();
  #jetStream: JetStream | null = null;
  /** What the server refused last, while it is worth telling. */
  #refusal: { readonly text: string; readonly atMs: number } | null = null;

  constructor(options: NatsObjectStoreOptions) {
    this.clock = options.clock ?? realClock;
    this.chance = options.chance ?? realChance;
    this.#plane = openRawPlane({ ...options, name: `${options.name} objects` });
  }

  trouble(): string | null {
    const isOld = this.clock.nowMs() - (this.#refusal?.atMs ?? 0) > refusalKeepMs;
    return this.#plane.trouble() ?? (isOld ? null : (this.#refusal?.text ?? null));
  }

  bucket(options: BucketOptions): ObjectBucket {
    return new NatsBucket(this, options);
  }

  async run<T>(
    what: string,
    call: ObjectCall,
    act: (jetStream: JetStream, scope: CallScope) => Promise<T>,
  ): Promise<T> {
    using scope = new CallScope({ clock: this.clock, call, what });
    let forget: () => void = () => undefined;
    try {
      const jetStream = await scope.of(this.#connected());
      forget = jetStream.link.onLost((fault) => scope.fail(unreachable(what, fault)));
      const result = await act(jetStream, scope);
      this.#refusal = null;
      return result;
    } catch (error) {
      if (error instanceof Fault && error.code === 'plane') throw unreachable(what, error);
      if (error instanceof Fault && error.reason === 'unreachable') this.#refused(error);
      throw error;
    } finally {
      forget();
    }
  }

  /** A connection's end is the plane's trouble, which goes by itself; the rest is remembered here. */
  #refused({ message, cause }: Fault): void {
    if (cause instanceof Fault && cause.code === 'plane') return;
    this.#refusal = { text: message, atMs: this.clock.nowMs() };
  }

  later(work: Promise<void>): void {
    this.#cleaning.add(work);
    void work.finally(() => this.#cleaning.delete(work));
  }

  async close(): Promise<void> {
    await Promise.all(this.#cleaning);
    await this.#plane.close();
  }

  async #connected(): Promise<JetStream> {
    const link = await this.#plane.link();
    if (this.#jetStream?.link !== link) {
      this.#jetStream = new JetStream(link);
      this.#refusal = null; // it may be another server, or one that has learnt
    }
    return this.#jetStream;
  }
}

function unreachable(what: string, cause: Fault): Fault {
  return flaw('unreachable', `${what}: ${cause.message}`, cause);
}
