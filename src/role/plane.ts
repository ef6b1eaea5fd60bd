// The request plane as a role needs it: nats-server as our child where asked for, and a connection
// that looks for it for ever.

import { tmpdir } from 'node:os';
import type { CommonConfig } from '../cli/config.ts';
import type { Bus } from '../plane/bus.ts';
import { withClaims } from '../plane/claim.ts';
import { embeddedNatsServer } from '../plane/embedded-nats.ts';
import { isLoopback } from '../plane/local-token.ts';
import { openNatsBus } from '../plane/nats.ts';
import { openNatsObjectStore } from '../plane/nats-object.ts';
import type { ObjectStore } from '../plane/object-store.ts';
import { startNatsServer } from '../plane/server.ts';
import { parsePlaneUris } from '../plane/uri.ts';
import { realClock } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import { realChance } from '../std/prng.ts';
import type { Log } from '../telemetry/log.ts';
import { cacheDir } from './cache-dir.ts';

export type OwnServer = {
  /** Where it listens, with the credentials that it asks for: port 0 has become a real one. */
  readonly uri: string;
  /** Resolves with one line when it has ended, without being asked to, too often to go on. */
  readonly crashed: Promise<string>;
  stop(): Promise<void>;
};

/**
 * nats-server at the first address of the request plane. Throws a Fault with the mend. `isPrivate`: all
 * its clients are ours, so on this host's loopback it gets a random token, unless the address has one.
 * `joining`: as of NatsServerOptions.
 */
export async function startPlane(
  config: CommonConfig,
  log: Log,
  { isPrivate = false, joining }: { isPrivate?: boolean; joining?: string | undefined } = {},
): Promise<OwnServer> {
  const [uri] = config.planeUris;
  if (uri === undefined) throw new Fault('usage', '--request-plane-uri is empty');
  const [parsed] = parsePlaneUris(uri);
  const isOpen = parsed !== undefined && parsed.user === null && parsed.token === null;
  const isLocal = parsed !== undefined && isLoopback(parsed.host);
  const token = isOpen && isLocal && isPrivate ? realChance.id() + realChance.id() : null;
  if (isOpen && !isLocal) {
    log.warn(
      'nats-server lets in whoever reaches it: give the address a token (nats://TOKEN@HOST:PORT, for all the same), or keep it on a private network',
      { uri: parsed?.shown },
    );
  }
  const server = await startNatsServer({
    uri,
    token,
    log,
    joining,
    storeRoot: tmpdir(),
    embedded: embeddedNatsServer,
    cacheDir: cacheDir(),
  });
  let stopping = false;
  const own = new URL(uri);
  own.port = String(server.port);
  if (token !== null) own.username = token;
  return {
    uri: own.href,
    crashed: new Promise((resolve) => {
      server.ended.then((how) => {
        if (!stopping) resolve(how);
      });
    }),
    async stop() {
      stopping = true;
      await server.stop();
    },
  };
}

/** Addresses, and what else it takes to be let in: a CommonConfig, or one with our own server's address. */
export type PlaneAccess = Pick<CommonConfig, 'planeUris' | 'natsFiles' | 'namespace'>;

export type Plane = {
  /** Takes messages of any size, where the server has JetStream. */
  readonly bus: Bus;
  /** A connection of its own, made at its first use: blocks and large messages do not hold tokens up. */
  readonly store: ObjectStore;
  close(): Promise<void>;
};

export function openPlane(access: PlaneAccess, name: string, log: Log): Plane {
  const { planeUris: uris, natsFiles: files, namespace } = access;
  const options = { uris, files, name: `tdist ${name}`, log };
  const store = openNatsObjectStore(options);
  const inner = openNatsBus(options);
  const ports = { clock: realClock, chance: realChance, log };
  const bus = withClaims({ bus: inner, store, namespace, ...ports });
  return {
    bus,
    store,
    async close() {
      await bus.close();
      await store.close();
    },
  };
}
