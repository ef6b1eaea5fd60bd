// The gateway as a running HTTP server: built from its ports, listening, and taken down without
// cutting an answer.

import type { GrammarCheck } from '../grammar/guide.ts';
import { limit } from '../protocol/limit.ts';
import type { Cluster, TextAssets } from '../protocol/request.ts';
import { type Clock, withDeadline } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { Chance } from '../std/prng.ts';
import { watchFiles } from '../std/watch.ts';
import type { Log } from '../telemetry/log.ts';
import { type Meter, noMeter } from '../telemetry/metric.ts';
import { type LongEncoder, TextModelCache } from '../text/text-model.ts';
import { Access } from './access.ts';
import { buildApp } from './app.ts';
import { Arriving, arrivingBounds } from './arriving.ts';
import { corsPolicy } from './cors.ts';
import { inPlaceCheck } from './form.ts';
import { Gate } from './gate.ts';
import type { Gateway } from './gateway.ts';
import { lookEveryMs, readKeyFile, type TlsFiles } from './gateway-files.ts';
import type { KeyEntry } from './key-file.ts';
import { openListener } from './listener.ts';
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
  /** Keys that are let in, besides those of the file. Default: none; without any, all may come in. */
  readonly apiKeys?: readonly KeyEntry[];
  /** Read at the start and again when it changes. */
  readonly apiKeyFile?: string | null;
  /** Likewise. Default: plain HTTP. */
  readonly tls?: TlsFiles | null;
  /** Default: those of protocol/limit.ts. */
  readonly bodyBytesMax?: number;
  readonly bodyTimeoutMs?: number;
  readonly idleConnectionS?: number;
  /** From a request's arrival to the end of its answer; 0: no limit. Default: that of protocol/limit.ts. */
  readonly requestTimeoutMs?: number;
  /** Makes token ids of long prompts beside everything else. Default: nobody does. */
  readonly openEncoder?: (assets: TextAssets) => LongEncoder;
  /** Says which grammars can be held to. Default: found out in place. */
  readonly grammars?: GrammarCheck;
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
  const { log, corsOrigins } = options;
  const gateway = buildGateway(options);
  const origins = corsOrigins.map((origin) => `'${origin}'`).join(', ');
  log.info(`Adding CORS for the following origins: [${origins}]`);
  const app = buildApp(gateway, corsPolicy(corsOrigins), (options.tls ?? null) !== null);
  prepareTexts(gateway);
  measureGateway(gateway);
  const listener = openListener(options, app);
  const { port } = listener;
  const scheme = listener.isEncrypted ? 'https' : 'http';
  const url = `${scheme}://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}`;
  const unwatch = watchKeys(gateway, options);
  log.info('Application startup complete.');
  log.say(`Listening on ${url}`);

  const stop = async ({ limitMs }: { readonly limitMs?: number } = {}): Promise<void> => {
    const drained = gateway.gate.drain();
    if (limitMs === undefined) await drained;
    else await drainWithin(gateway, drained, limitMs);
    unwatch();
    await listener.stop(flushMs);
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

/** Who is broken off and does not even read that would not leave: the end of its connection ends it. */
async function drainWithin(
  { gate, clock }: Gateway,
  drained: Promise<void>,
  limitMs: number,
): Promise<void> {
  const late = (): Fault => new Fault('timeout', `not done within ${limitMs} ms`);
  const isDone = await withDeadline(clock, limitMs, drained, late).then(
    () => true,
    () => false,
  );
  if (isDone) return;
  gate.abortAll(new Fault('draining', 'The server shut down before the answer was complete.'));
  await withDeadline(clock, flushMs, drained, late).catch(() => undefined);
}

function buildGateway(options: ServerOptions): Gateway {
  const { cluster, clock, chance, log, meter = noMeter, version: build } = options;
  const bytesMax = options.bodyBytesMax ?? limit.bodyBytesMax;
  return {
    cluster,
    clock,
    chance,
    log,
    meter,
    access: new Access({ clock, meter }),
    // A single body of the largest size must have room, and another one beside it.
    arriving: new Arriving(clock, {
      ...arrivingBounds,
      bytesMax: Math.max(arrivingBounds.bytesMax, 2 * bytesMax),
    }),
    bodyBounds: {
      bytesMax,
      timeoutMs: options.bodyTimeoutMs ?? limit.bodyTimeoutMs,
    },
    gate: new Gate({ clock, limitMs: options.requestTimeoutMs ?? limit.requestTimeoutMs }),
    queue: new AdmissionQueue({
      countMax: options.queueLimit,
      timeoutMs: options.queueTimeoutMs,
      clock,
    }),
    texts: new TextModelCache((model) => cluster.textAssets(model), options),
    responses: new ResponseStore(clock),
    grammars: options.grammars ?? inPlaceCheck,
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

/** Keys from flags and file, and those of the file anew when it has changed. */
function watchKeys({ access, log, clock }: Gateway, options: ServerOptions): () => void {
  const { apiKeys = [], apiKeyFile: path = null } = options;
  if (path === null) {
    access.replace(apiKeys);
    return () => undefined;
  }
  access.replace([...apiKeys, ...readKeyFile(path)]);
  return watchFiles({
    paths: [path],
    clock,
    everyMs: lookEveryMs,
    onChange: () => {
      try {
        const entries = readKeyFile(path);
        access.replace([...apiKeys, ...entries]);
        log.info('API keys read again', { keys: entries.length });
      } catch (thrown) {
        log.error(`API keys stay as they were: ${toFault(thrown).message}`);
      }
    },
  });
}
