// The gateway process: OpenAI's API on one side, the request plane on the other. Never touches ONNX
// Runtime.

import { createServer } from '../api/server.ts';
import type { ApiConfig } from '../cli/config.ts';
import type { RoleIo } from '../cli/role-io.ts';
import { openModelText } from '../model/folder.ts';
import { createClient, type PlaneClient } from '../plane/client.ts';
import type { Cluster, TextAssets } from '../protocol/request.ts';
import { realClock } from '../std/clock.ts';
import { realChance } from '../std/prng.ts';
import { prometheusMeter } from '../telemetry/prometheus.ts';
import { openEncoder } from './encoder.ts';
import { ThreadGrammarCheck } from './grammar-check.ts';
import { startGrammarThread } from './grammar-port.ts';
import { placeModel } from './model-place.ts';
import { bindToSupervisor, isOrphan } from './parent.ts';
import { openPlane } from './plane.ts';
import { mustEnd, stopSignal } from './signals.ts';

export async function runApi(config: ApiConfig, io: RoleIo): Promise<number> {
  bindToSupervisor();
  const { log } = io;
  const stop = stopSignal(log);
  const { tokenizerFolder } = config;
  const place =
    tokenizerFolder === null ? null : await placeModel(tokenizerFolder, { io, part: 'text', stop });
  if (tokenizerFolder !== null && place === null) return 0; // asked to end while it came
  const text = place === null ? null : readAssets(place.folder);
  const plane = openPlane(config, 'api', log);
  const meter = prometheusMeter('api');
  const client = createClient({
    bus: plane.bus,
    clock: realClock,
    chance: realChance,
    log,
    namespace: config.namespace,
    localPrefillTokens: config.localPrefillTokens,
    migrationLimit: config.migrationLimit,
    migrationWaitMs: config.queueTimeoutMs,
    meter,
    ...(config.servedModel === null ? {} : { model: config.servedModel }),
  });
  try {
    const server = createServer({
      cluster: text === null ? client : withText(client, text),
      clock: realClock,
      chance: realChance,
      log,
      meter,
      host: config.host,
      port: config.port,
      corsOrigins: config.corsOrigins,
      apiKeys: config.apiKeys,
      apiKeyFile: config.apiKeyFile,
      tls: config.tls,
      bodyBytesMax: config.bodyBytesMax,
      bodyTimeoutMs: config.bodyTimeoutMs,
      requestTimeoutMs: config.requestTimeoutMs,
      ...(config.servedModel === null ? {} : { model: config.servedModel }),
      queueLimit: config.queueCountMax,
      queueTimeoutMs: config.queueTimeoutMs,
      openEncoder,
      grammars: new ThreadGrammarCheck({ clock: realClock, start: startGrammarThread }),
      version: io.version,
    });
    await stop;
    const limitMs = isOrphan() ? 0 : config.drainTimeoutMs;
    mustEnd(limitMs, log);
    await server.stop({ limitMs });
  } finally {
    await client.close();
    await plane.close();
  }
  return 0;
}

/** `--tokenizer`: these files instead of what the workers announce. */
function readAssets(name: string): TextAssets {
  const { tokenizer, tokenizerConfig } = openModelText(name);
  const parse = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));
  return { tokenizer: parse(tokenizer), tokenizerConfig: parse(tokenizerConfig) };
}

function withText(client: PlaneClient, text: TextAssets): Cluster {
  return {
    generate: (request, options) => client.generate(request, options),
    models: () => client.models(),
    unready: () => client.unready(),
    missing: (model, route) => client.missing(model, route),
    onChange: (handler) => client.onChange(handler),
    members: () => client.members(),
    control: (worker, action) => client.control(worker, action),
    textAssets: async () => text,
  };
}
