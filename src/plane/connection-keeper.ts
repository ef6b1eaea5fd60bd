// Keeps one connection to NATS, for ever: tries the given addresses and those of the cluster in turn,
// waits a little longer after each failure, and says when a connection is there and when it has gone.
// Members that join the cluster while it lives are known when it ends. Types of the library alone: how
// to connect is given.

import type { NatsConnection } from 'nats';
import type { Clock, Timer } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import { reason } from './nats-fault.ts';
import { peerOf } from './nats-options.ts';
import type { PlaneUri } from './uri.ts';

const retryFirstMs = 50;
const retryMaxMs = 1000;

export type KeeperOptions = {
  readonly uris: readonly PlaneUri[];
  readonly clock: Clock;
  /** A failure's message is what `down` is told. */
  readonly connect: (target: PlaneUri) => Promise<NatsConnection>;
  /** A connection is there; the keeper goes on when this has. */
  readonly up: (connection: NatsConnection, target: PlaneUri) => Promise<void> | void;
  /** It has gone, or an attempt has failed. */
  readonly down: (target: PlaneUri, why: string) => void;
};

export class ConnectionKeeper {
  readonly #options: KeeperOptions;
  #discovered: readonly PlaneUri[] = [];
  #stopped = false;
  #retry: { timer: Timer; go: () => void } | null = null;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Ends after `stop`, when the connection that there may be has been closed by its owner. */
  async run(): Promise<void> {
    const { uris, connect, up, down } = this.#options;
    let failures = 0;
    for (let turn = 0; !this.#stopped; turn++) {
      const targets = [...uris, ...this.#others()];
      const target = targets[turn % targets.length];
      if (target === undefined) throw new Fault('usage', 'request plane: no address given');
      try {
        const connection = await connect(target);
        if (this.#stopped) return await connection.close();
        failures = 0;
        this.#learn(connection, target);
        void this.#follow(connection, target); // ends with the connection
        await up(connection, target);
        const error = await connection.closed();
        down(target, error === undefined ? 'the connection ended' : reason(error));
      } catch (error) {
        failures += 1;
        down(target, reason(error));
      }
      await this.#pause(Math.min(retryMaxMs, retryFirstMs * 2 ** Math.min(failures, 10)));
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#retry?.timer.cancel();
    this.#retry?.go();
  }

  /** Members that the user did not name; those named keep their own credentials. */
  #others(): readonly PlaneUri[] {
    const key = ({ host, port }: PlaneUri): string => `${host} ${port}`;
    const named = new Set(this.#options.uris.map(key));
    return this.#discovered.filter((uri) => !named.has(key(uri)));
  }

  #learn({ info }: NatsConnection, target: PlaneUri): void {
    const members = info?.connect_urls ?? [];
    if (members.length > 0) this.#discovered = members.flatMap((each) => peerOf(each, target));
  }

  async #follow(connection: NatsConnection, target: PlaneUri): Promise<void> {
    for await (const { type } of connection.status()) {
      if (String(type) === 'update') this.#learn(connection, target);
    }
  }

  async #pause(delayMs: number): Promise<void> {
    if (this.#stopped) return;
    await new Promise<void>((go) => {
      this.#retry = { timer: this.#options.clock.after(delayMs, go), go };
    });
    this.#retry = null;
  }
}
