// The socket: plain or TLS, on one port for the whole life of the gateway. It is Bun's own, because
// Elysia's `listen` shares ports between processes (a second server would start without a word) and
// leaves listeners behind. A renewed certificate needs a new listener, Bun's `reload` keeps the old one:
// connections that are open stay with the listener that has accepted them until they end.
//
// Head and connection: Bun closes a connection whose first request's head is not there after 12 s, however
// it trickles, and refuses heads above 16 KiB; of what a request may take once it is here, its handler
// decides. In between, a connection on which nothing moves is closed after `limit.idleConnectionS`.

import { limit } from '../protocol/limit.ts';
import { type Clock, withDeadline } from '../std/clock.ts';
import { Fault, sentence, toFault } from '../std/fault.ts';
import { watchFiles } from '../std/watch.ts';
import type { Log } from '../telemetry/log.ts';
import { noteAddress } from './address.ts';
import { lookEveryMs, readTls, type TlsFiles, type TlsPair } from './gateway-files.ts';

export type ListenerOptions = {
  readonly host: string;
  readonly port: number;
  readonly tls?: TlsFiles | null;
  /** Default: that of protocol/limit.ts. */
  readonly idleConnectionS?: number;
  readonly clock: Clock;
  readonly log: Log;
};

export type Listener = {
  readonly port: number;
  readonly isEncrypted: boolean;
  /** Takes no new connection; what is being sent has `flushMs` to leave. */
  stop(flushMs: number): Promise<void>;
};

type Server = Bun.Server<undefined>;
/** `address`: of whoever is connected; a proxy's, where one is between. */
export type Answer = (request: Request, address: string) => Promise<Response>;

export function openListener(options: ListenerOptions, answer: Answer): Listener {
  const { tls: files = null, clock, log } = options;
  let server = listen(options, files === null ? null : readTls(files), answer);
  const port = server.port ?? options.port;
  const older = new Set<Server>();
  const renew = (): void => {
    if (files === null) return;
    try {
      const pair = readTls(files);
      // One that Bun refuses must not cost us the port.
      void listen({ ...options, port: 0 }, pair, answer).stop(true);
      const before = server;
      older.add(before);
      void before.stop(false).then(() => older.delete(before));
      server = listen({ ...options, port }, pair, answer);
      log.info('Certificate read again');
    } catch (thrown) {
      log.error(`The certificate stays as it was: ${toFault(thrown).message}`);
    }
  };
  const paths = files === null ? [] : [files.certFile, files.keyFile];
  const unwatch = watchFiles({ paths, clock, everyMs: lookEveryMs, onChange: renew });
  return {
    port,
    isEncrypted: files !== null,
    async stop(flushMs) {
      unwatch();
      const all = [server, ...older];
      const late = (): Fault => new Fault('timeout', `not done within ${flushMs} ms`);
      const stopped = Promise.all(all.map((one) => one.stop(false)));
      await withDeadline(clock, flushMs, stopped, late).catch((thrown: unknown) => {
        const reason = toFault(thrown).message;
        log.debug('closing connections that did not end by themselves', { reason });
      });
      await Promise.all(all.map((one) => one.stop(true)));
    },
  };
}

function listen(options: ListenerOptions, pair: TlsPair | null, answer: Answer): Server {
  const { host, port, idleConnectionS = limit.idleConnectionS } = options;
  try {
    return Bun.serve({
      hostname: host,
      port,
      reusePort: false,
      idleTimeout: idleConnectionS,
      // Above our own limit, so that a body too large gets our answer and not Bun's empty one.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      ...(pair === null ? {} : { tls: pair }),
      fetch: async (request, server) => {
        // The queue and the plane have deadlines of their own; Bun's would cut whoever waits.
        server.timeout(request, 0);
        const address = server.requestIP(request)?.address ?? '';
        noteAddress(request, address);
        const response = await answer(request, address);
        server.timeout(request, idleConnectionS);
        return response;
      },
    });
  } catch (cause) {
    throw new Fault(
      'config',
      `cannot listen on ${host}:${port}: ${sentence(toFault(cause).message)} Stop what uses the port, or ` +
        'choose others with --api-server-host and --api-server-port (0: any free port).',
      { cause },
    );
  }
}
