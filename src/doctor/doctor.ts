// `tdist doctor`: looks at everything that a deployment of these flags needs, before it starts or while it
// runs, and says what is missing with its mend. Changes nothing.

import type { ApiSettings, RoleConfig, WorkerSettings } from '../cli/config.ts';
import { RepoCache } from '../hub/cache.ts';
import { repoText } from '../hub/name.ts';
import type { HubSettings } from '../hub/settings.ts';
import { type Model, openModel } from '../model/folder.ts';
import { Ort } from '../model/ort.ts';
import { ortLibraryPath, ortVersion } from '../model/ort-library.ts';
import { openNatsBus } from '../plane/nats.ts';
import { findNatsServer } from '../plane/nats-binary.ts';
import { type PlaneUri, parsePlaneUris } from '../plane/uri.ts';
import { kvBytes } from '../protocol/kv-size.ts';
import type { WorkerRole } from '../protocol/message.ts';
import { workerRoles } from '../protocol/message.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { cacheDir } from '../role/cache-dir.ts';
import { freeMemoryBytes, memoryBytes } from '../role/free-memory.ts';
import { hubRepo } from '../role/model-place.ts';
import { sizeWorker } from '../role/sizing.ts';
import { realClock } from '../std/clock.ts';
import { realChance } from '../std/prng.ts';
import { silentLog } from '../telemetry/log.ts';
import { examineDevices, sizeOnFirst } from './devices.ts';
import { type Finding, failOf } from './finding.ts';
import { type ArenaNeed, checkCache, checkCpu, checkPort, checkShm } from './host-check.ts';
import * as look from './look.ts';
import {
  checkLibrary,
  checkMemory,
  checkModel,
  type HubModel,
  isWhole,
  type MemoryFacts,
  type Tried,
  tried,
} from './model-check.ts';
import {
  checkForeignServer,
  checkJetStream,
  checkOwnServer,
  checkPayload,
  checkReach,
  checkRights,
  checkSkew,
  type PlaneFacts,
  type PlaneNeed,
} from './plane-check.ts';
import { askPlane, connectionTrouble, type ProbePorts, watchWorkers } from './plane-probe.ts';
import { checkGatewayFiles, checkLogDir, checkNatsFiles } from './start-check.ts';
import { checkWorkers, type OwnModel } from './worker-check.ts';

export type DoctorOptions = {
  readonly config: RoleConfig;
  /** The deployment starts its own nats-server; else there must be one. */
  readonly ownPlane: boolean;
  /** `--kv-path object`: without JetStream nothing is handed over. */
  readonly needsObjects: boolean;
  /** `--starting-metrics-port`; 0: none. */
  readonly firstMetricsPort: number;
  /** Asked for only where the model is one of the hub's. */
  readonly hub: () => HubSettings;
};

const connectMs = 5000;

export async function examine(options: DoctorOptions): Promise<readonly Finding[]> {
  const worker = workerOf(options.config);
  const model = worker === null ? null : await modelOf(worker, options.hub);
  const natsFiles = await checkNatsFiles(options.config);
  const [plane, ports] = await Promise.all([
    // With files that cannot be read there is no connection to ask anything over.
    natsFiles?.status === 'fail' ? [] : examinePlane(options, model),
    examinePorts(options),
  ]);
  const host = worker === null || model === null ? [] : await examineWorker(options, worker, model);
  const files = await examineFiles(options);
  const nats = natsFiles === null ? plane : [natsFiles, ...plane];
  return [...nats, ...ports, ...files, checkCpu(look.lookAtCpu()), ...host];
}

/** What is read or written before anything else: each of these alone ends a start. */
async function examineFiles({ config, hub }: DoctorOptions): Promise<readonly Finding[]> {
  const api = apiOf(config);
  const { logDir } = config;
  return [
    ...(api === null ? [] : await checkGatewayFiles(api, hub)),
    ...(logDir === null ? [] : [checkLogDir(logDir, look.lookAtFolder(logDir))]),
  ];
}

function workerOf(config: RoleConfig): WorkerSettings | null {
  return config.role === 'all' ? config.worker : config.role === 'worker' ? config : null;
}

function apiOf(config: RoleConfig): ApiSettings | null {
  return config.role === 'all' ? config.api : config.role === 'api' ? config : null;
}

/** One entry for each worker process that would be started. */
function kindsOf(config: RoleConfig): readonly WorkerRole[] {
  if (config.role === 'api') return [];
  const countOf = (kind: WorkerRole): number =>
    config.role === 'all'
      ? config.workerCounts[kind]
      : config.kind === kind
        ? config.workerCount
        : 0;
  return workerRoles.flatMap((kind) => new Array<WorkerRole>(countOf(kind)).fill(kind));
}

type Known = {
  readonly settings: WorkerSettings;
  readonly model: Tried<Model>;
  /** Null: a folder, or built in. */
  readonly hub: HubModel | null;
};

async function modelOf(settings: WorkerSettings, hubOf: () => HubSettings): Promise<Known> {
  const found = await tried(() => lookUp(settings.modelName, hubOf));
  if ('fault' in found) return { settings, model: found, hub: null };
  const hub = found.value;
  if (hub !== null && !isWhole(hub)) return { settings, model: { fault: 'not there yet' }, hub };
  const open = (): Model => {
    const folder = hub?.cached?.folder ?? settings.modelName;
    const model = openModel(folder, settings.quantization, cacheDir(), hub?.name);
    model.weights(); // reads the files' headers: a file cut short is found here
    return model;
  };
  return { settings, model: await tried(open), hub };
}

/** What the cache has of a model of the hub; nobody is asked. */
function lookUp(name: string, hubOf: () => HubSettings): HubModel | null {
  const repo = hubRepo(name);
  if (repo === null) return null;
  const { cacheDir, offline } = hubOf();
  const cached = new RepoCache(cacheDir, repo).lookUp('model');
  return { name: repoText(repo), cacheDir, offline, cached };
}

function geometryOf({ settings, model }: Known): Geometry | null {
  if ('fault' in model) return null;
  const { layers, kvHeads, headDim } = model.value.config;
  return { layers, kvHeads, headDim, blockTokens: settings.blockTokens };
}

function lengthOf({ settings, model }: Known): number {
  return settings.maxModelLen ?? ('value' in model ? model.value.config.positions : 0);
}

function needOf(known: Known | null): PlaneNeed {
  const geometry = known === null ? null : geometryOf(known);
  if (known === null || geometry === null || 'fault' in known.model) return null;
  const tokens = lengthOf(known);
  const digits = String(known.model.value.config.vocabSize).length + 1; // and a comma
  return {
    messageBytes: tokens * digits + 4096,
    kvBytes: kvBytes(known.settings.kvDtype, geometry, tokens),
  };
}

async function examinePlane(
  options: DoctorOptions,
  known: Known | null,
): Promise<readonly Finding[]> {
  const uris = options.config.planeUris.flatMap((text) =>
    parsePlaneUris(text).map((uri) => ({ text, uri })),
  );
  const [first] = uris;
  if (options.ownPlane && first !== undefined) {
    if (first.uri.port === 0) return [await ownServer(first.uri)];
    const state = await look.lookAtPort(first.uri.host, first.uri.port);
    if (state === 'free') return [await ownServer(first.uri)];
    if (state !== 'taken' || (await look.natsVersionAt(first.uri, realClock)) === null) {
      const { host, port } = first.uri;
      const holder = look.holderOf(port);
      const flag = '--request-plane-uri';
      return [checkPort({ name: 'nats', host, port, state, holder, tdist: null, flag })];
    }
  }
  return (await Promise.all(uris.map((one) => examineServer(options, one, known)))).flat();
}

async function ownServer(uri: PlaneUri): Promise<Finding> {
  const program = await tried(() => findNatsServer({ cacheDir: cacheDir() }));
  return checkOwnServer(
    uri.shown,
    'value' in program ? { path: program.value } : { missing: program.fault },
  );
}

async function examineServer(
  { config, ownPlane, needsObjects }: DoctorOptions,
  { text, uri }: { readonly text: string; readonly uri: PlaneUri },
  known: Known | null,
): Promise<readonly Finding[]> {
  const bus = openNatsBus({
    uris: [text],
    files: config.natsFiles,
    name: 'tdist doctor',
    log: silentLog,
  });
  const ports: ProbePorts = {
    bus,
    clock: realClock,
    epochMs: () => Date.now(),
    namespace: config.namespace,
    id: realChance.id().slice(0, 12),
  };
  try {
    const trouble = await connectionTrouble(ports, connectMs);
    const version = await look.natsVersionAt(uri, realClock);
    const facts: PlaneFacts = { address: uri.shown, trouble, version };
    if (trouble !== null) return [checkReach(facts)];
    const [answers, heard] = await Promise.all([askPlane(ports), watchWorkers(ports)]);
    const need = needOf(known);
    return [
      ownPlane ? checkForeignServer(facts) : checkReach(facts),
      checkRights(config.namespace, answers),
      checkPayload(answers, need),
      checkJetStream(answers.jetStream, need, needsObjects),
      checkSkew(answers),
      ...checkWorkers(heard, ownModelOf(known)),
    ];
  } finally {
    await bus.close();
  }
}

function ownModelOf(known: Known | null): OwnModel | null {
  if (known === null || 'fault' in known.model) return null;
  const { modelDigest, textDigest } = known.model.value;
  return { servedName: known.settings.servedName, modelDigest, textDigest };
}

async function examinePorts(options: DoctorOptions): Promise<readonly Finding[]> {
  const { config, firstMetricsPort } = options;
  const wanted: { name: string; host: string; port: number; flag: string }[] = [];
  const api = apiOf(config);
  if (api !== null && api.port !== 0) {
    wanted.push({ name: 'api port', host: api.host, port: api.port, flag: '--api-server-port' });
  }
  const worker = workerOf(config);
  if (worker !== null && firstMetricsPort !== 0) {
    const first = firstMetricsPort + (config.role === 'worker' ? config.workerIndex : 0);
    const host = worker.dataPlaneHost ?? '127.0.0.1';
    for (const index of kindsOf(config).keys()) {
      const port = first + index;
      wanted.push({ name: 'metrics port', host, port, flag: '--starting-metrics-port' });
    }
  }
  return await Promise.all(
    wanted.map(async ({ name, host, port, flag }) => {
      const state = await look.lookAtPort(host, port);
      const taken = state === 'taken';
      const holder = taken ? look.holderOf(port) : null;
      const ofUs = name === 'api port' ? look.gatewayAt : look.workerAt;
      const tdist = taken ? await ofUs(host, port) : null;
      return checkPort({ name, host, port, state, holder, tdist, flag });
    }),
  );
}

async function examineWorker(
  { config }: DoctorOptions,
  settings: WorkerSettings,
  known: Known,
): Promise<readonly Finding[]> {
  const cache = cacheDir();
  const library = await tried(async () => {
    new Ort(await ortLibraryPath(cache));
    return ortVersion;
  });
  const kinds = kindsOf(config);
  const share = settings.memoryShare / kinds.length;
  const readable = 'value' in known.model ? known.model.value : null;
  const devices = await examineDevices(settings, readable, share);
  const findings = [...devices.findings, checkLibrary(library), checkModel(known.model, known.hub)];
  const shm = look.lookAtShm();
  const geometry = geometryOf(known);
  if (geometry === null || 'fault' in known.model) return [checkShm(shm, null), ...findings];
  const model = known.model.value;
  const freeBytes = freeMemoryBytes();
  const shmBytes = 'error' in shm ? 0 : Math.floor(shm.freeBytes / 3); // as role/worker.ts
  const weightBytes = model.memoryBytes;
  const sizings: MemoryFacts['sizings'] = (
    await Promise.all(
      [...new Set(kinds)].map(async (kind) => {
        const found = await sizeOnFirst(devices.rooms, weightBytes, (device) =>
          sizeWorker({
            geometry,
            kvDtype: settings.kvDtype,
            positions: model.config.positions,
            isContext: kind === 'context',
            hasArena: hasArena(kind, settings),
            requestCountMax: settings.requestCountMax,
            arenaBytes: settings.kvArenaBytes,
            maxModelLen: settings.maxModelLen,
            seqCountMax: settings.seqCountMax,
            shmBytes,
            freeBytes: Math.floor(freeBytes * share),
            memoryBytes: Math.floor(memoryBytes() * share),
            weightBytes,
            device,
          }),
        );
        return found.map((one) => ({ kind, ...one }));
      }),
    )
  ).flat();
  const cacheFinding = await tried(() => checkCache(look.lookAtCache(cache), weightBytes));
  return [
    checkShm(shm, arenaNeed(kinds, settings, sizings)),
    ...checkMemory({ freeBytes, weightBytes, sizings, wantedLen: lengthOf(known) }),
    ...findings,
    'value' in cacheFinding
      ? cacheFinding.value
      : failOf('cache', cacheFinding.fault, 'see XDG_CACHE_HOME'),
  ];
}

function hasArena(kind: WorkerRole, { prefixCaching }: WorkerSettings): boolean {
  return kind === 'context' || prefixCaching;
}

function arenaNeed(
  kinds: readonly WorkerRole[],
  settings: WorkerSettings,
  sizings: MemoryFacts['sizings'],
): ArenaNeed | null {
  const workerCount = kinds.filter((kind) => hasArena(kind, settings)).length;
  const sizes = sizings.flatMap(({ sizing }) =>
    'value' in sizing ? [sizing.value.arenaBytes] : [],
  );
  if (workerCount === 0 || sizes.length === 0) return null;
  return { askedBytes: settings.kvArenaBytes, workerCount, chosenBytes: Math.max(...sizes) };
}
