// Keeps one connection to NATS, for ever: tries the given addresses and those of the cluster in turn,
// waits a little longer after each failure, and says when a connection is there and when it has gone.
// Credentials are read anew at each attempt: files that somebody has mended or renewed count at once.
// Types of the library alone; its functions are given.

import type { Authenticator, ConnectionOptions, NatsConnection } from 'nats';
import type { Clock, Timer } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import { type NatsFiles, type NatsSecrets, readNatsFiles } from './nats-files.ts';
import { connectionOptions, peerOf, triedWith, usesFile } from './nats-options.ts';
import { connectReason, reason } from './nats-reason.ts';
import type { PlaneUri } from './uri.ts';

const retryFirstMs = 50;
const retryMaxMs = 1000;

export type ConnectLibrary = {
  readonly connect: (options: ConnectionOptions) => Promise<NatsConnection>;
  /** Of a credentials or nkey file's user. */
  readonly authenticator: (user: NonNullable<NatsSecrets['user']>) => Authenticator;
};

export type KeeperOptions = {
  readonly uris: readonly PlaneUri[];
  readonly files: NatsFiles;
  /** Shown by `nats server report connections`. */
  readonly name: string;
  readonly clock: Clock;
  readonly library: ConnectLibrary;
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
    let failures = 0;
    for (let turn = 0; !this.#stopped; turn++) {
      const targets = this.#targets();
      const target = targets[turn % targets.length];
      if (target === undefined) throw new Fault('usage', 'request plane: no address given');
      const why = await this.#connectTo(target);
      failures = why.wasUp ? 0 : failures + 1;
      this.#options.down(target, why.text);
      await this.#pause(Math.min(retryMaxMs, retryFirstMs * 2 ** Math.min(failures, 10)));
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#retry?.timer.cancel();
    this.#retry?.go();
  }

  /** Those the user named, with their own credentials, then the other members of their cluster. */
  #targets(): readonly PlaneUri[] {
    const { uris } = this.#options;
    const known = new Set(uris.map(({ host, port }) => `${host} ${port}`));
    const others = this.#discovered.filter(({ host, port }) => !known.has(`${host} ${port}`));
    return [...uris, ...others];
  }

  /** One connection from its beginning to its end; says why it ended. Throws nothing. */
  async #connectTo(target: PlaneUri): Promise<{ readonly wasUp: boolean; readonly text: string }> {
    const { files, name, library, up } = this.#options;
    let secrets: NatsSecrets | null = null;
    let wasUp = false;
    try {
      secrets = readNatsFiles(files);
      const { user } = secrets;
      const connection = await library.connect({
        ...connectionOptions(target, name, secrets),
        ...(user === null || !usesFile(target)
          ? {}
          : { authenticator: library.authenticator(user) }),
      });
      if (this.#stopped) await connection.close();
      else {
        this.#learn(connection, target);
        void this.#follow(connection, target); // ends with the connection
        await up(connection, target);
      }
      wasUp = true;
      const error = await connection.closed();
      // What ends a connection that was up is not about its handshake.
      const tried = { ...triedWith(target, secrets), tls: false };
      return { wasUp, text: connectReason(error ?? undefined, tried) };
    } catch (error) {
      const text =
        secrets === null ? reason(error) : connectReason(error, triedWith(target, secrets));
      return { wasUp, text };
    }
  }

  /** Members that join while a connection lives. */
  async #follow(connection: NatsConnection, target: PlaneUri): Promise<void> {
    for await (const { type } of connection.status()) {
      if (type === 'update') this.#learn(connection, target); // Events.Update of the library
    }
  }

  #learn({ info }: NatsConnection, target: PlaneUri): void {
    const members = info?.connect_urls ?? [];
    if (members.length > 0) this.#discovered = members.flatMap((each) => peerOf(each, target));
  }

  async #pause(delayMs: number): Promise<void> {
    if (this.#stopped) return;
    await new Promise<void>((go) => {
      this.#retry = { timer: this.#options.clock.after(delayMs, go), go };
    });
    this.#retry = null;
  }
}
