// Flag values to a role's configuration: which role is meant, what its defaults are, which values
// go together. Pure; the only effect of a wrong value is a Fault with code `usage`.

import { keysOfFlag } from '../api/key-file.ts';
import { natsFileNames, natsFlags } from '../plane/nats-files.ts';
import { type WorkerRole, workerRoles } from '../protocol/message.ts';
import { Fault } from '../std/fault.ts';
import { cautionsOf } from './caution.ts';
import type {
  AllConfig,
  ApiSettings,
  CommonConfig,
  RoleConfig,
  WorkerConfig,
  WorkerSettings,
} from './config.ts';
import { refuseConflicts } from './conflict.ts';
import type { Role } from './flag.ts';
import type { Values } from './flags.ts';
import { noticesOf, refuseUnavailable } from './notice.ts';
import type { Env, Parsed } from './parse.ts';
import { planeUris, redactUri } from './plane-uri.ts';

export type Configured = {
  readonly config: RoleConfig;
  /** One line each, for the log. */
  readonly warnings: readonly string[];
};

/** The role asked for, or the one that the seed's form `--context-worker-count 1` means. */
export function roleOf(values: Values): Role | null {
  if (values.role !== null) return values.role;
  const counted = workerRoles.filter((kind) => (values[`${kind}-worker-count`] ?? 0) > 0);
  return counted.length === 1 ? (counted[0] ?? null) : null;
}

export function configure(parsed: Parsed, role: Role, env: Env): Configured {
  refuseUnavailable(parsed.values, role);
  const notices = noticesOf(parsed, role).map((notice) => notice.line);
  const config = configOf(parsed, role, env);
  refuseConflicts(config, parsed);
  const warnings = [...notices, ...cautionsOf(config, env)];
  return { config: deepFreeze(config), warnings };
}

function configOf(parsed: Parsed, role: Role, env: Env): RoleConfig {
  const { values } = parsed;
  const common = commonOf(parsed);
  switch (role) {
    case 'api':
      return { role, ...common, ...apiSettings(values, values['model-name']) };
    case 'all':
      return allConfig(values, common);
    case 'context':
    case 'generate':
    case 'baseline':
      return workerConfig(values, common, role, env);
  }
}

function commonOf({ values, given }: Parsed): CommonConfig {
  const oldName = given.has('request-plane-uri') ? null : values['nats-url'];
  return {
    planeUris: planeUris(oldName?.split(',') ?? values['request-plane-uri']),
    natsFiles: {
      credsFile: values['nats-creds-file'],
      nkeyFile: values['nats-nkey-file'],
      caFile: values['nats-ca-file'],
      certFile: values['nats-cert-file'],
      keyFile: values['nats-key-file'],
    },
    namespace: wellFormed(values, 'namespace', /^[A-Za-z0-9_-]{1,64}$/, 'letters, digits, - and _'),
    drainTimeoutMs: values['drain-timeout-ms'],
    logDir: values['log-dir'],
    logLevel: ({ error: 0, info: 1, debug: 2 } as const)[values['log-level']],
  };
}

function apiSettings(values: Values, servedModel: string | null): ApiSettings {
  return {
    host: values['api-server-host'],
    port: values['api-server-port'],
    servedModel,
    tokenizerFolder: values.tokenizer,
    corsOrigins: values['cors-origin'].map(corsOrigin),
    apiKeys: keysOfFlag(values['api-key']),
    apiKeyFile: values['api-key-file'],
    tls: tlsFiles(values['tls-cert'], values['tls-key']),
    bodyBytesMax: values['max-body-bytes'],
    bodyTimeoutMs: values['body-timeout-ms'],
    requestTimeoutMs: values['request-timeout-ms'],
    queueCountMax: values['queue-limit'],
    queueTimeoutMs: values['queue-timeout-ms'],
    migrationLimit: values['migration-limit'],
    localPrefillTokens: values['local-prefill-tokens'],
  };
}

/** An origin is scheme, host and port: browsers send it so, and it is compared as a whole. */
function corsOrigin(text: string): string {
  if (/^(\*|null|[a-z][a-z0-9+.-]*:\/\/[^/\s]+)$/.test(text)) return text;
  throw new Fault(
    'usage',
    `--cors-origin ${JSON.stringify(text)}: wanted * or SCHEME://HOST[:PORT] without a path, for example http://localhost:3000`,
  );
}

function tlsFiles(certFile: string | null, keyFile: string | null): ApiSettings['tls'] {
  if (certFile !== null && keyFile !== null) return { certFile, keyFile };
  if (certFile === null && keyFile === null) return null;
  const [given, missing] = certFile === null ? ['key', 'cert'] : ['cert', 'key'];
  throw new Fault('usage', `--tls-${given} needs --tls-${missing} beside it`);
}

function workerSettings(values: Values): WorkerSettings {
  return {
    modelName: values['model-name'] ?? 'tdist/demo',
    servedName: wellFormed(values, 'worker-name', /^[!-~]{1,256}$/, 'up to 256 visible characters'),
    maxModelLen: values['max-model-len'],
    seqCountMax: values['max-num-seqs'],
    requestCountMax: values['max-batch-size'],
    memoryShare: values['gpu-memory-utilization'],
    ignoreEos: values['ignore-eos'],
    device: values.device,
    ortDir: values['ort-dir'],
    threadCount: values.threads,
    weightDtype: values.dtype,
    quantization: values.quantization,
    toolParser: values['tool-call-parser'],
    reasoningParser: values['reasoning-parser'],
    kvDtype: values['kv-cache-dtype'] === 'auto' ? 'float32' : values['kv-cache-dtype'],
    kvPath: values['kv-path'],
    kvObject: {
      storage: values['kv-object-storage'],
      bytesMax: values['kv-object-max-bytes'],
      ttlMs: Math.round(values['kv-object-ttl'] * 1000),
      replicaCount: values['kv-object-replicas'],
    },
    kvArenaBytes: values['kv-arena-bytes'],
    prefixCaching: values['enable-prefix-caching'],
    blockTokens: values['block-tokens'],
    statistics: !values['disable-log-stats'],
    dataPlaneHost: values['data-plane-host'],
    dataPlanePort: values['data-plane-port'],
  };
}

function workerConfig(
  values: Values,
  common: CommonConfig,
  kind: WorkerRole,
  env: Env,
): WorkerConfig {
  const workerCount = values[`${kind}-worker-count`] ?? 1;
  if (workerCount === 0) {
    throw new Fault('usage', `--${kind}-worker-count 0 leaves --role ${kind} nothing to do`);
  }
  const index = workerIndex(env);
  const initializePlane = values['initialize-request-plane'] ?? false;
  if (initializePlane) refuseOwnServer(common);
  return {
    role: 'worker',
    kind,
    ...common,
    ...workerSettings(values),
    workerCount,
    workerIndex: index,
    metricsPort: metricsPort(values['starting-metrics-port'], index, workerCount),
    initializePlane,
  };
}

function allConfig(values: Values, common: CommonConfig): AllConfig {
  const chosen = workerRoles.some((kind) => values[`${kind}-worker-count`] !== null);
  const countOf = (kind: WorkerRole, alone: number): number =>
    values[`${kind}-worker-count`] ?? (chosen ? 0 : alone);
  const workerCounts = {
    context: countOf('context', 1),
    generate: countOf('generate', 1),
    baseline: countOf('baseline', 0),
  };
  const total = workerCounts.context + workerCounts.generate + workerCounts.baseline;
  if (total === 0) {
    throw new Fault('usage', '--role all without a worker: give a --…-worker-count above 0');
  }
  metricsPort(values['starting-metrics-port'], 0, total); // refused here, not by each child
  const initializePlane = values['initialize-request-plane'] ?? true;
  if (initializePlane) refuseOwnServer(common);
  return {
    role: 'all',
    ...common,
    initializePlane,
    workerCounts,
    // --model-name is what the workers load; the gateway serves whatever they announce.
    api: apiSettings(values, null),
    worker: workerSettings(values),
  };
}

/** Our own nats-server is one, without TLS and accounts: said here, before anything is started. */
function refuseOwnServer({ planeUris: [uri = '', ...more], natsFiles }: CommonConfig): void {
  const mend = 'add --no-initialize-request-plane to use a nats-server of your own';
  if (more.length > 0) {
    const text = `--request-plane-uri names ${more.length + 1} servers, and we start only one`;
    throw new Fault('usage', `${text}; ${mend}`);
  }
  if (uri.startsWith('tls://')) {
    const text = `--request-plane-uri ${redactUri(uri)}: the nats-server that we start has no TLS`;
    throw new Fault('usage', `${text}; write nats://, or ${mend}`);
  }
  for (const name of natsFileNames) {
    if (natsFiles[name] === null) continue;
    const text = `${natsFlags[name]}: the nats-server that we start knows only what the address says`;
    throw new Fault('usage', `${text}, user:password@ or token@; write that, or ${mend}`);
  }
}

/** The first of `count` workers' ports; the highest must be a port, too. */
function metricsPort(firstPort: number, index: number, count: number): number | null {
  if (firstPort === 0) return null;
  const last = firstPort + index + count - 1;
  if (last <= 65_535) return firstPort + index;
  const text = `--starting-metrics-port ${firstPort}: the last worker's port would be ${last}`;
  throw new Fault('usage', `${text}; begin lower`);
}

function workerIndex(env: Env): number {
  for (const name of ['TDIST_WORKER_ID', 'VLLM_WORKER_ID']) {
    const found = env[name];
    if (found === undefined || found === '') continue;
    if (/^\d{1,6}$/.test(found)) return Number(found);
    throw new Fault('usage', `${name}=${JSON.stringify(found)}: wanted a number, for example 0`);
  }
  return 0;
}

function wellFormed(
  values: Values,
  name: 'namespace' | 'worker-name',
  form: RegExp,
  wanted: string,
): string {
  if (form.test(values[name])) return values[name];
  throw new Fault('usage', `--${name} ${JSON.stringify(values[name])}: wanted ${wanted}`);
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) {
    if (typeof part === 'object' && part !== null) deepFreeze(part);
  }
  return Object.freeze(value);
}
