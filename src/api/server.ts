// The gateway as a running HTTP server: built from its ports, listening, and taken down without
// cutting an answer. The socket is Bun's own, because Elysia's `listen` shares ports between processes
// (a second server would start without a word) and leaves listeners behind.

import type { Cluster } from '../protocol/request.ts';
import { type Clock, withDeadline } from '../std/clock.ts';
import { Fault, sentence, toFault } from '../std/fault.ts';
import type { Chance } from '../std/prng.ts';
import type { Log } from '../telemetry/log.ts';
import { type Meter, noMeter } from '../telemetry/metric.ts';
import { TextModelCache } from '../text/text-model.ts';
import { buildApp } from './app.ts';
import { corsPolicy } from './cors.ts';
import { Gate } from './gate.ts';
import type { Gateway } from './gateway.ts';
import { measureGateway } from './metrics.ts';
import { AdmissionQueue } from './queue.ts';
import { ResponseStore } from './response-store.ts';

export type ServerOptions = {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Log;
  /** Default: nothing is measured. */
  readonly meter?: Meter;
  readonly host: string;
  /** 0: any free port; the server's `port` tells which. */
  readonly port: number;
  readonly corsOrigins: readonly string[];
  /** The only model to serve; default: all that workers announce. */
  readonly model?: string;
  readonly queueLimit: number;
  readonly queueTimeoutMs: number;
  readonly version: string;
};

export type ApiServer = {
  readonly url: string;
  readonly port: number;
  /** Chat requests that are being worked on. */
  inFlight(): number;
  /**
   * Takes nothing new, lets what runs finish, closes. What still runs after `limitMs` (default: no
   * limit) is broken off with a fault.
   */
  stop(options?: { readonly limitMs?: number }): Promise<void>;
};

/** For the last bytes of the last answer to leave. */
const flushMs = 1000;

export function createServer(options: ServerOptions): ApiServer {
  const { clock, log, corsOrigins } = options;
  const gateway = buildGateway(options);
  const origins = corsOrigins.map((origin) => `'${origin}'`).join(', ');
  log.warn(`Adding CORS for the following origins: [${origins}]`);
  const app = buildApp(gateway, corsPolicy(corsOrigins));
  prepareTexts(gateway);
  measureGateway(gateway);
  const server = listen(options, app);
  const port = server.port ?? options.port;
  const url = `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}`;
  log.info('Application startup complete.');
  log.say(`Listening on ${url}`);

  const stop = async (limits: { readonly limitMs?: number } = {}): Promise<void> => {
    const drained = gateway.gate.drain();
    const late = new Fault('draining', 'The server shut down before the answer was complete.');
    const timer =
      limits.limitMs === undefined
        ? null
        : clock.after(limits.limitMs, () => gateway.gate.abortAll(late));
    await drained;
    timer?.cancel();
    await withDeadline(clock, flushMs, server.stop(false), () => late).catch((thrown: unknown) => {
      log.debug('closing connections that did not end by themselves', {
        reason: toFault(thrown).message,
      });
    });
    await server.stop(true);
  };
  let stopping: Promise<void> | null = null;
  return {
    url,
    port,
    inFlight: () => gateway.gate.count,
    stop: (limits) => {
      stopping ??= stop(limits);
      return stopping;
    },
  };
}

function buildGateway(options: ServerOptions): Gateway {
  const { cluster, clock, chance, log, version: build } = options;
  return {
    cluster,
    clock,
    chance,
    log,
    meter: options.meter ?? noMeter,
    gate: new Gate(),
    queue: new AdmissionQueue({
      countMax: options.queueLimit,
      timeoutMs: options.queueTimeoutMs,
      clock,
    }),
    texts: new TextModelCache((model) => cluster.textAssets(model)),
    responses: new ResponseStore(clock),
    onlyModel: options.model ?? null,
    version: build,
  };
}

/** Tokenizers are fetched and warm before the first request asks for them. */
function prepareTexts({ cluster, texts, log }: Gateway): void {
  const prepare = (): void => {
    for (const model of cluster.models()) {
      if (texts.has(model)) continue;
      texts.get(model).then(
        (text) => text.warmUp(),
        (thrown: unknown) => {
          log.warn('cannot prepare the tokenizer', {
            model: model.name,
            reason: toFault(thrown).message,
          });
        },
      );
    }
  };
  cluster.onChange(prepare);
  prepare();
}

function listen(
  options: ServerOptions,
  answer: (request: Request) => Promise<Response>,
): Bun.Server<undefined> {
  const { host, port } = options;
  try {
    return Bun.serve({
      hostname: host,
      port,
      reusePort: false,
      // No idle time-out: the queue and the plane have deadlines of their own, Bun's would cut
      // whoever waits for a first token.
      idleTimeout: 0,
      // Above our own limit, so that a body too large gets our answer and not Bun's empty one.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch: answer,
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
