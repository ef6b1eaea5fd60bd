// The one table of flags. Parsing, environment twins, help and README all read it; config.ts gives
// the values their meaning. A flag of another role is accepted, so that one set of flags can be
// passed to every process of a deployment, as the seed's scripts do.

import { limit } from '../protocol/limit.ts';
import { boolean, choice, type Flag, list, number, roles, text, type ValueOf } from './flag.ts';

const every = roles;
const gateway = ['api', 'all'] as const;
const workers = ['context', 'generate', 'baseline', 'all'] as const;
const port = { min: 0, max: 65_535, example: '8005' };
const count = { min: 0, max: 256, example: '2', unset: '1 for the own role' };

const general = {
  role: choice(
    every,
    null,
    { api: [], context: [], generate: [], baseline: [], all: [] },
    'what this process is',
  ),
  namespace: text(every, 'tdist', 'subject prefix: several deployments can share one NATS'),
  'drain-timeout-ms': number('integer', every, 30_000, 'how long running work may finish', {
    min: 0,
  }),
  'dump-config': boolean(every, false, 'print the resolved configuration as JSON and exit'),
  help: boolean(every, false, 'print this text; with --role only the flags of that role'),
  version: boolean(every, false, 'print version and build'),
};

const plane = {
  'request-plane-uri': list(every, ['nats://localhost:4223'], 'NATS address(es)', {
    example: 'nats://localhost:4223',
  }),
  'initialize-request-plane': boolean(workers, null, 'start nats-server from this process', {
    unset: 'off; on for all',
  }),
  'nats-url': text(every, null, 'old name of --request-plane-uri', {
    example: 'nats://localhost:4223',
    unset: 'none',
  }),
  'nats-creds-file': text(
    every,
    null,
    'user credentials for NATS: JWT and seed, as nsc writes them',
    {
      example: './user.creds',
      unset: 'none',
    },
  ),
  'nats-nkey-file': text(every, null, "seed of a NATS user's nkey", {
    example: './user.nk',
    unset: 'none',
  }),
  'nats-ca-file': text(every, null, "authority of the NATS servers' certificates, PEM", {
    example: './ca.pem',
    unset: "the system's",
  }),
  'nats-cert-file': text(every, null, 'our certificate for NATS servers that ask for one, PEM', {
    example: './client.pem',
    unset: 'none',
  }),
  'nats-key-file': text(every, null, 'its private key, PEM', {
    example: './client.key',
    unset: 'none',
  }),
  'data-plane-host': text(every, null, 'address a worker serves its metrics on', {
    example: '10.0.0.5',
    unset: 'auto',
  }),
  'data-plane-port': number('integer', every, 0, 'no effect: KV needs no port of its own', port),
};

const api = {
  'api-server-host': text(gateway, '127.0.0.1', 'address the API listens on'),
  'api-server-port': number(
    'integer',
    gateway,
    8005,
    'port the API listens on; 0: a free one',
    port,
  ),
  tokenizer: text(
    gateway,
    null,
    'folder or ORG/REPO with tokenizer.json and tokenizer_config.json',
    {
      example: './my-model',
      unset: 'what the workers announce',
    },
  ),
  'cors-origin': list(
    gateway,
    ['http://localhost'],
    'origin a browser may call from; repeatable, *',
  ),
  'api-key': list(gateway, [], 'keys that clients must send one of; better in the environment', {
    example: 'sk-4f1c2a',
    unset: 'none: whoever reaches the port',
    isSecret: true,
  }),
  'api-key-file': text(
    gateway,
    null,
    'file of such keys, with limits; read again when it changes',
    {
      example: './api-keys',
      unset: 'none',
    },
  ),
  'tls-cert': text(gateway, null, 'certificate chain for HTTPS, PEM; read again when it changes', {
    example: './server.pem',
    unset: 'none: HTTP',
  }),
  'tls-key': text(gateway, null, 'its private key, PEM', {
    example: './server.key',
    unset: 'none',
  }),
  'max-body-bytes': number('bytes', gateway, limit.bodyBytesMax, 'largest request body', {
    min: 1024,
    max: limit.bodyBytesMax,
    example: '1MiB',
  }),
  'body-timeout-ms': number(
    'integer',
    gateway,
    limit.bodyTimeoutMs,
    'longest time for a request body to arrive',
    { max: 3_600_000 },
  ),
  'request-timeout-ms': number(
    'integer',
    gateway,
    limit.requestTimeoutMs,
    'longest time for a whole answer; 0: no limit',
    { min: 0, max: 86_400_000 },
  ),
  'queue-limit': number('integer', gateway, 1024, 'requests that wait for a worker at most', {
    min: 0,
  }),
  'queue-timeout-ms': number('integer', gateway, 30_000, 'longest wait for a worker', {
    min: 0,
    max: limit.queueTimeoutMsMax,
  }),
  'migration-limit': number('integer', gateway, 3, 'workers that one answer may outlive', {
    min: 0,
    max: limit.migrationLimitMax,
  }),
  'local-prefill-tokens': number(
    'integer',
    gateway,
    null,
    'prompts with fewer uncached tokens are prefilled by the generate worker; 0: none',
    { min: 0, example: '256', unset: 'measured: whatever is faster' },
  ),
};

const worker = {
  'context-worker-count': number('integer', workers, null, 'prefill processes', count),
  'generate-worker-count': number('integer', workers, null, 'decode processes', count),
  'baseline-worker-count': number('integer', workers, null, 'processes that do both', {
    ...count,
    unset: '1 for the own role; 0 for all',
  }),
  'model-name': text(
    every,
    null,
    'workers: what to load, a folder or ORG/REPO[@REVISION]; api: the only model to serve',
    {
      example: './my-model',
      unset: 'workers: tdist/demo, built in; api: all that workers announce',
    },
  ),
  'worker-name': text(workers, 'llama', 'name clients ask for as `model`'),
  'max-model-len': number('integer', workers, null, 'prompt + completion limit in tokens', {
    min: 2,
    example: '3500',
    unset: "the model's own",
  }),
  'max-num-seqs': number('integer', workers, null, 'sequences in one decode batch', {
    max: 4096,
    example: '32',
    unset: 'as many of 1,024 tokens as memory holds, up to 32; 8 of a context worker',
  }),
  'max-batch-size': number('integer', workers, 10_000, 'queued + running requests of a worker'),
  'ignore-eos': boolean(workers, false, 'default of the request field of that name'),
  device: choice(
    workers,
    'cpu',
    { cpu: [], auto: [], webgpu: [], cuda: [] },
    'where to compute; auto: a GPU if there is one',
  ),
  'ort-dir': text(workers, null, "folder of ONNX Runtime's CUDA provider and library", {
    example: './onnxruntime/capi',
    unset: 'beside the executable',
  }),
  threads: number('integer', workers, null, 'threads of one worker', {
    max: 1024,
    example: '4',
    unset: 'cores / local workers',
  }),
};

const memory = {
  dtype: choice(
    workers,
    'auto',
    {
      auto: [],
      float32: ['fp32', 'float'],
      float16: ['fp16', 'half'],
      bfloat16: ['bf16'],
    },
    'weights and activations',
  ),
  quantization: choice(
    workers,
    'auto',
    { auto: [], none: [], int8: [], int4: [] },
    'weights as integers: smaller and faster, a little less exact; auto: none, or as the checkpoint has them (fp8: int8)',
  ),
  'tool-call-parser': choice(
    workers,
    'auto',
    { auto: [], none: [], hermes: [], llama3_json: [], mistral: [] },
    'how the model writes tool calls; auto: as its chat template says',
  ),
  'reasoning-parser': choice(
    workers,
    'auto',
    { auto: [], none: [], think: ['deepseek_r1', 'qwen3'] },
    'how it marks its thoughts; auto: as its chat template says',
  ),
  'kv-cache-dtype': choice(
    workers,
    'auto',
    {
      auto: [],
      float32: ['fp32'],
      float16: ['fp16'],
      bfloat16: ['bf16'],
      int8: [],
      fp8: ['fp8_e4m3'],
    },
    'how KV is stored in blocks, moved and cached',
  ),
  'gpu-memory-utilization': number('share', workers, 0.9, 'share of memory for weights and KV', {
    min: 0,
    max: 1,
  }),
  'kv-path': choice(
    workers,
    'auto',
    { auto: [], shm: [], object: [] },
    'how KV gets from worker to worker; auto: shm on one host, else object',
  ),
  'kv-arena-bytes': number(
    'bytes',
    workers,
    null,
    'shared memory of a worker for KV handed over and kept',
    {
      min: 1024 * 1024,
      max: 2 ** 44,
      example: '64MiB',
      unset: 'from memory and the longest prompt',
    },
  ),
  'kv-object-storage': choice(
    workers,
    'memory',
    { memory: [], file: [] },
    'where NATS keeps KV that crosses between hosts',
  ),
  'kv-object-max-bytes': number('bytes', workers, 2 ** 30, 'KV that NATS keeps at most', {
    min: 1024 * 1024,
    max: 2 ** 44,
    example: '1GiB',
  }),
  'kv-object-ttl': number('duration', workers, 600, 'how long NATS keeps KV', {
    min: 1,
    max: 31_536_000,
    example: '10m',
  }),
  'kv-object-replicas': number('integer', workers, 1, 'NATS servers that each keep that KV', {
    max: 5,
    example: '3',
  }),
  'block-tokens': number('integer', workers, 64, 'tokens in a KV block', { max: 4096 }),
};

const logs = {
  'log-dir': text(
    every,
    null,
    'folder for one log file per process; errors, and where it listens, still come here',
    {
      example: './logs',
      unset: 'stdout',
    },
  ),
  'log-level': choice(
    every,
    'info',
    { error: ['0'], info: ['1'], debug: ['2'] },
    'how much is logged',
  ),
  'starting-metrics-port': number(
    'integer',
    workers,
    0,
    "port of the first worker's /metrics, the next ones' +1; 0: none",
    { ...port, example: '9100' },
  ),
  'disable-log-stats': boolean(workers, false, 'no periodic statistics line'),
};

const kept = {
  'enable-prefix-caching': boolean(workers, true, 'keep KV of earlier prompts'),
  'enable-chunked-prefill': boolean(workers, true, 'prefill in chunks; cannot be turned off'),
  'context-tp-size': number('integer', workers, 1, 'tensor parallelism: only 1'),
  'generate-tp-size': number('integer', workers, 1, 'tensor parallelism: only 1'),
  'baseline-tp-size': number('integer', workers, 1, 'tensor parallelism: only 1'),
  'enforce-eager': boolean(workers, false, 'no effect'),
  'disable-async-output-proc': boolean(workers, false, 'no effect'),
  'dummy-worker-count': number('integer', workers, 0, 'no effect', { min: 0 }),
};

export const flagGroups: readonly {
  readonly title: string;
  readonly flags: Readonly<Record<string, Flag>>;
}[] = [
  { title: 'General', flags: general },
  { title: 'Request plane', flags: plane },
  { title: 'Gateway', flags: api },
  { title: 'Workers', flags: worker },
  { title: 'Memory and precision', flags: memory },
  { title: 'Logs', flags: logs },
  { title: 'Kept for scripts written for vLLM', flags: kept },
];

export const flags = { ...general, ...plane, ...api, ...worker, ...memory, ...logs, ...kept };
export type FlagName = keyof typeof flags;
export type Values = { readonly [N in FlagName]: ValueOf<(typeof flags)[N]> };

// Object.keys forgets the key type; the table is a literal, so its keys are exactly these.
export const flagNames = Object.keys(flags) as readonly FlagName[];

export function isFlagName(name: string): name is FlagName {
  return Object.hasOwn(flags, name);
}

/** The flag's row without its literal types, for code that treats all flags alike. */
export function flagOf(name: FlagName): Flag {
  return flags[name];
}

/**
 * `api-server-port` → `TDIST_API_SERVER_PORT`. Null for the two that are questions, not settings: an
 * image that sets TDIST_VERSION to its version must not stop every start.
 */
export function envTwin(name: FlagName): string | null {
  if (name === 'help' || name === 'version') return null;
  return `TDIST_${name.toUpperCase().replaceAll('-', '_')}`;
}
