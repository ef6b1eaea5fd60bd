// A worker process: model, engine thread, request plane. The same steps for context, generate and
// baseline; only the engine's parts differ. Everything it starts it also stops, last first.

import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { WorkerConfig } from '../cli/config.ts';
import type { RoleIo } from '../cli/role-io.ts';
import { arenaPrefix, shmFolder } from '../kv/arena.ts';
import { sweepArenas } from '../kv/janitor.ts';
import { type Model, openModel } from '../model/folder.ts';
import { ortLibraryPath } from '../model/ort-library.ts';
import { createWorkerNode } from '../plane/worker.ts';
import type { Card } from '../protocol/message.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { realClock } from '../std/clock.ts';
import { realChance } from '../std/prng.ts';
import type { Log } from '../telemetry/log.ts';
import { type Meter, noMeter } from '../telemetry/metric.ts';
import { detectReasoningParser, detectToolParser } from '../text/tool/detect.ts';
import { cacheDir } from './cache-dir.ts';
import { startEngine } from './engine-handle.ts';
import type { EngineOptions } from './engine-thread.ts';
import { freeMemoryBytes, freeShmBytes, memoryBytes } from './free-memory.ts';
import { graphOf } from './graph.ts';
import { hostIdentity, seesArena } from './host.ts';
import { openKvPaths } from './kv-paths.ts';
import { type MetricsServer, serveMetrics } from './metrics-server.ts';
import { ObjectAccess } from './object-access.ts';
import { bindToSupervisor, isOrphan, isSupervised } from './parent.ts';
import { openPlane, startPlane } from './plane.ts';
import { mustEnd, stopSignal } from './signals.ts';
import { sizeWorker } from './sizing.ts';
import { startStatistics } from './statistics.ts';
import { superviseWorkers } from './supervisor.ts';
import { loadVocabulary, withVocabulary } from './vocabulary.ts';
import { countSaved, meteredEngine } from './worker-metrics.ts';

export async function runWorker(config: WorkerConfig, io: RoleIo): Promise<number> {
  if (config.workerCount > 1) return await superviseWorkers(config, io);
  bindToSupervisor();
  const { log } = io;
  const stop = stopSignal(log);
  await using ends = new AsyncDisposableStack();
  const swept = sweepArenas();
  if (swept.length > 0)
    log.info('Removed KV arenas that dead workers left', { count: swept.length });

  const crash = Promise.withResolvers<string>();
  let uris = config.planeUris;
  if (config.initializePlane) {
    const server = await startPlane(config, log);
    uris = [server.uri];
    ends.defer(() => server.stop());
    server.crashed.then(crash.resolve);
  }
  const { meter, server: metrics } = await openMetrics(config, log);
  if (metrics !== null) ends.defer(() => metrics.stop());
  const workerId = `${config.kind}-${realChance.id().slice(0, 12)}`;
  const plane = openPlane({ ...config, planeUris: uris }, workerId, log);
  ends.defer(() => plane.close());
  const { bus, store } = plane;

  const model = openModel(config.modelName, config.quantization, cacheDir());
  for (const note of model.notes) log.info(`${model.source}: ${note}`);
  const options = await engineOptions(config, model, workerId, log);
  removeAtExit(workerId);
  const engine = await startEngine(options, crash.resolve);
  ends.defer(() => engine.stop());
  const { maxModelLen, slots, tokensMax, threads } = options;
  const { source, quantization } = model;
  log.info('Model loaded', {
    model: source,
    ...(quantization === 'none' ? {} : { quantization }),
    maxModelLen,
    slots,
    tokensMax,
    threads,
  });

  const { tokenizer, tokenizerConfig } = model;
  const { vocabSize, eosIds } = options;
  const vocabularyOrder = { tokenizer, tokenizerConfig, vocabSize, eosIds };
  const readied = withVocabulary(engine, () => loadVocabulary(vocabularyOrder));
  const metered = meteredEngine(readied, meter);
  const kv = openKvPaths({
    config,
    store,
    worker: options,
    engine: metered,
    clock: realClock,
    log,
  });
  ends.defer(() => kv.close());
  countSaved(meter, kv);
  let announce = (): void => undefined; // until there is a node to do it
  const objects =
    config.kind === 'baseline' || config.kvPath === 'shm'
      ? null
      : new ObjectAccess({
          bus,
          clock: realClock,
          log,
          isWanted: config.kvPath === 'object',
          onChange: () => announce(),
        });
  ends.defer(() => objects?.stop());
  const node = createWorkerNode({
    bus,
    clock: realClock,
    log,
    namespace: config.namespace,
    workerId,
    role: config.kind,
    card: cardOf(config, model, options),
    host: hostIdentity(),
    pid: process.pid,
    build: `${io.version}+${io.build}`,
    engine: metered,
    kv,
    kvPath: config.kvPath,
    sees: seesArena,
    objects: () => objects?.isUsable() ?? false,
    assets: { tokenizer: model.tokenizer, tokenizerConfig: model.tokenizerConfig },
  });
  ends.defer(() => node.close());
  announce = () => node.announce();
  const ready = objects?.settled ?? Promise.resolve();
  void ready.then(() => node.setState('ready'));
  if (config.statistics) {
    const { load, tokenCount } = engine;
    ends.defer(startStatistics({ clock: realClock, log, load, tokenCount }));
  }
  const handler = config.kind === 'generate' ? 'generate' : config.servedName;
  log.info('Worker started...', { worker: workerId });
  log.info(`Starting ${handler} handler...`);
  const trouble = bus.trouble();
  if (trouble !== null) log.info(`Waiting to be registered: ${trouble}`);
  void node.registered.then(() => {
    if (!isSupervised()) log.say('Workers started ... press Ctrl-C to Exit');
  });

  const how = await Promise.race([stop, crash.promise.then((reason) => ({ reason }))]);
  const drainMs = typeof how !== 'string' || isOrphan() ? 0 : config.drainTimeoutMs;
  mustEnd(drainMs, log);
  if (typeof how !== 'string') {
    log.error(how.reason);
    return 1;
  }
  await node.drain(drainMs);
  return 0;
}

/** Without --starting-metrics-port nothing is measured, and the library is not even loaded. */
async function openMetrics(
  config: WorkerConfig,
  log: Log,
): Promise<{ readonly meter: Meter; readonly server: MetricsServer | null }> {
  if (config.metricsPort === null) return { meter: noMeter, server: null };
  const { prometheusMeter } = await import('../telemetry/prometheus.ts');
  const meter = prometheusMeter('worker');
  const host = config.dataPlaneHost ?? '127.0.0.1';
  const server = serveMetrics({ meter, host, port: config.metricsPort });
  log.info(`Metrics: ${server.url}`);
  return { meter, server };
}

async function engineOptions(
  config: WorkerConfig,
  model: Model,
  workerId: string,
  log: Log,
): Promise<EngineOptions> {
  const geometry: Geometry = {
    layers: model.config.layers,
    kvHeads: model.config.kvHeads,
    headDim: model.config.headDim,
    blockTokens: config.blockTokens,
  };
  const cache = cacheDir();
  const { threadCount } = config;
  const modelPath = await graphOf(model, { cacheDir: cache, threadCount, log });
  const sizing = sizeWorker({
    geometry,
    kvDtype: config.kvDtype,
    positions: model.config.positions,
    isContext: config.kind === 'context',
    hasArena: config.kind === 'context' || config.prefixCaching,
    requestCountMax: config.requestCountMax,
    arenaBytes: config.kvArenaBytes,
    maxModelLen: config.maxModelLen,
    seqCountMax: config.seqCountMax,
    // Others on this host need theirs, and most start at the same moment: a third each.
    shmBytes: Math.floor(freeShmBytes() / 3),
    freeBytes: Math.floor(freeMemoryBytes() * config.memoryShare),
    memoryBytes: Math.floor(memoryBytes() * config.memoryShare),
    weightBytes: model.memoryBytes,
  });
  return {
    namespace: config.namespace,
    workerId,
    role: config.kind,
    libraryPath: await ortLibraryPath(cache),
    modelPath,
    modelDigest: model.modelDigest,
    geometry,
    kvDtype: config.kvDtype,
    vocabSize: model.config.vocabSize,
    eosIds: model.config.eosIds,
    ignoreEos: config.ignoreEos,
    ...sizing,
    threads: threadCount ?? availableParallelism(),
    queueCountMax: config.requestCountMax,
    prefixCaching: config.prefixCaching,
  };
}

function cardOf(config: WorkerConfig, model: Model, options: EngineOptions): Card {
  return {
    model: config.servedName,
    source: model.source,
    modelDigest: model.modelDigest,
    textDigest: model.textDigest,
    geometry: options.geometry,
    kvDtype: config.kvDtype,
    maxModelLen: options.maxModelLen,
    vocabSize: model.config.vocabSize,
    eosIds: [...model.config.eosIds],
    ...parsersOf(config, model),
  };
}

/** What gateways need to know in order to find calls and thoughts in the model's text. */
function parsersOf(
  { toolParser, reasoningParser }: WorkerConfig,
  model: Model,
): Pick<Card, 'toolParser' | 'reasoningParser'> {
  const tokenizerConfig: unknown = JSON.parse(new TextDecoder().decode(model.tokenizerConfig));
  const chosen = <T>(flag: T | 'auto' | 'none', detected: T | null): T | null =>
    flag === 'auto' ? detected : flag === 'none' ? null : flag;
  return {
    toolParser: chosen(toolParser, detectToolParser(tokenizerConfig)),
    reasoningParser: chosen(reasoningParser, detectReasoningParser(tokenizerConfig)),
  };
}

/** However this process ends short of kill -9, its arena goes with it. */
function removeAtExit(workerId: string): void {
  process.on('exit', () => {
    rmSync(`${shmFolder}/${arenaPrefix}${workerId}`, { force: true });
  });
}
