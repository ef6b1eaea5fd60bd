// nats-server as our child (`--initialize-request-plane`), with JetStream in a store folder of its own.
// When it dies it is started again on the same port and, where that is still whole, on the same store;
// clients reconnect by themselves. What dies too often is given up, by name. At the end it is stopped and
// its folder cleaned away.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { restartBounds } from '../protocol/limit.ts';
import { type Clock, realClock, type Timer } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import { givenUpAfter, type RestartBounds, Restarts } from '../std/restarts.ts';
import type { Log } from '../telemetry/log.ts';
import { writeLocalToken } from './local-token.ts';
import { type BinarySearch, findNatsServer } from './nats-binary.ts';
import { jetStreamFolder, launchNats, type NatsLife } from './nats-launch.ts';
import { createStore } from './nats-store.ts';
import { type PlaneUri, parsePlaneUris } from './uri.ts';

export type NatsServerOptions = BinarySearch & {
  /** The one address of the request plane; port 0 = any free one. */
  readonly uri: string;
  /** Asked for where the address bears no credentials; clients of this user find it by themselves. */
  readonly token?: string | null;
  readonly log: Log;
  /** Folder in which the store folder is made. */
  readonly storeRoot: string;
  /** How a server that runs there already would be used, said where the port is taken. */
  readonly joining?: string | undefined;
  /** How to start this program again; tests give their own. */
  readonly self?: readonly string[];
  readonly clock?: Clock;
  /** How it is started again when it dies; null: not at all. Default: those of protocol/limit.ts. */
  readonly bounds?: RestartBounds | null;
  /** How a life begins; tests give their own. */
  readonly launch?: typeof launchNats;
};

export type NatsServer = {
  /** Where it listens, without credentials. */
  readonly uri: string;
  readonly port: number;
  /** Of its present life. */
  readonly pid: number;
  /** Resolves with one line when it has ended for good, wanted or not. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
};

/** Throws a Fault `config` (or `usage` for a bad address) with the mend. */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const written = theOne(options.uri);
  const hasOwn = written.user !== null || written.token !== null;
  const token = hasOwn ? null : (options.token ?? null);
  const uri = token === null ? written : { ...written, token };
  const program = await findNatsServer(options);
  const store = createStore(options.storeRoot);
  const { log, self, joining, clock = realClock, launch = launchNats } = options;
  const launchAt = (port: number): NatsLife => {
    const shown = uri.shown.replace(/:\d+$/, `:${port}`);
    return launch({ uri: { ...uri, port, shown }, program, store, self, log, clock, joining });
  };
  const first = launchAt(uri.port);
  let port = uri.port;
  const tell = (): void => {
    if (token !== null) writeLocalToken(store, port, token);
  };
  try {
    port = await first.ready;
    tell();
  } catch (thrown) {
    await first.stop();
    rmSync(store, { recursive: true, force: true });
    throw thrown;
  }
  const shown = uri.shown.replace(/:\d+$/, `:${port}`);
  const lives = new Lives({
    first,
    again: () => launchAt(port),
    tell,
    store,
    name: `nats-server at ${shown}`,
    log,
    clock,
    bounds: options.bounds === undefined ? restartBounds : options.bounds,
  });
  return {
    uri: shown,
    port,
    get pid() {
      return lives.pid;
    },
    ended: lives.run(),
    stop: () => lives.stop(),
  };
}

type LivesOptions = {
  readonly first: NatsLife;
  readonly again: () => NatsLife;
  /** What clients need to know is written anew: the whole folder may have gone. */
  readonly tell: () => void;
  readonly store: string;
  readonly name: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly bounds: RestartBounds | null;
};

class Lives {
  readonly #options: LivesOptions;
  readonly #restarts: Restarts | null;
  readonly #over = Promise.withResolvers<string>();
  #life: NatsLife;
  #isStopping = false;
  #pause: { timer: Timer; go: () => void } | null = null;

  constructor(options: LivesOptions) {
    const { clock, bounds } = options;
    this.#options = options;
    this.#life = options.first;
    this.#restarts = bounds === null ? null : new Restarts(clock, bounds);
  }

  get pid(): number {
    return this.#life.pid;
  }

  run(): Promise<string> {
    this.#follow().then((how) => {
      this.#clear(this.#options.store);
      this.#over.resolve(how);
    }, this.#over.reject);
    return this.#over.promise;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#pause?.timer.cancel();
    this.#pause?.go();
    await this.#life.stop();
    await this.#over.promise;
  }

  /** Resolves with one line when there will be no other life. */
  async #follow(): Promise<string> {
    const { clock, log, name } = this.#options;
    let beganMs = clock.nowMs();
    let how = await this.#life.ended;
    for (;;) {
      if (this.#isStopping || this.#restarts === null) return how;
      const verdict = this.#restarts.ended(clock.nowMs() - beganMs);
      if (verdict.type === 'give-up') {
        const mend =
          'mend that, or run a NATS of your own and name it in --request-plane-uri, with --no-initialize-request-plane';
        return `${name} ${givenUpAfter(verdict)}; the last time: ${how}; giving up: ${mend}`;
      }
      const { pauseMs } = verdict;
      log.warn('nats-server died, starting it again', { how, pauseMs });
      await this.#rest(pauseMs);
      if (this.#isStopping) return how;
      beganMs = clock.nowMs();
      how = await this.#liveAgain();
    }
  }

  /** Another life, to its end. */
  async #liveAgain(): Promise<string> {
    const { again, tell, log, name, store } = this.#options;
    try {
      this.#life = again();
      await this.#life.ready;
    } catch (thrown) {
      const fault = toFault(thrown);
      // Neither the port's nor the folder's fault: what it left when it died may be what it cannot read.
      if (fault.reason === undefined && !this.#isStopping) {
        log.warn('nats-server does not start on what it had kept; it goes on with an empty store');
        this.#clear(join(store, jetStreamFolder));
      }
      return fault.message;
    }
    try {
      tell();
      log.info(`${name} is back`);
    } catch (thrown) {
      // It runs, and its clients cannot find its token: the next life would find its port taken.
      await this.#life.stop();
      return toFault(thrown).message;
    }
    return await this.#life.ended;
  }

  /** What cannot be removed (it is no longer ours) is said, and left. */
  #clear(path: string): void {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch (thrown) {
      this.#options.log.warn(`cannot remove ${path}`, { reason: toFault(thrown).message });
    }
  }

  async #rest(pauseMs: number): Promise<void> {
    await new Promise<void>((go) => {
      this.#pause = { timer: this.#options.clock.after(pauseMs, go), go };
    });
    this.#pause = null;
  }
}

function theOne(text: string): PlaneUri {
  const [uri, ...more] = parsePlaneUris(text);
  if (uri === undefined || more.length > 0) {
    throw new Fault('usage', 'starting nats-server needs exactly one request plane address');
  }
  if (uri.tls) {
    const mend = 'use nats://, or run nats-server yourself with its certificate';
    throw new Fault('config', `cannot start nats-server at ${uri.shown}: no certificate; ${mend}`);
  }
  return uri;
}
