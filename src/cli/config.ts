// What a role needs to know, resolved and frozen: no role reads a flag or the environment itself.
// Units are in the names; null means "decide from the model, the memory or the workers".

import type { TlsFiles } from '../api/gateway-files.ts';
import type { KeyEntry } from '../api/key-file.ts';
import type { NatsFiles } from '../plane/nats-files.ts';
import type { KvDtype } from '../protocol/kv-size.ts';
import type { WorkerRole } from '../protocol/message.ts';
import type { ReasoningParserName, ToolParserName } from '../protocol/request.ts';
import type { LogLevel } from '../telemetry/log.ts';
import { redactUri } from './plane-uri.ts';

export type CommonConfig = {
  /** NATS addresses with scheme and port; may hold credentials. Port 0: any, for our own server. */
  readonly planeUris: readonly string[];
  /** Paths of credentials and certificates for NATS. */
  readonly natsFiles: NatsFiles;
  /** Subject prefix on the request plane. */
  readonly namespace: string;
  readonly drainTimeoutMs: number;
  /** Null: stdout. */
  readonly logDir: string | null;
  readonly logLevel: LogLevel;
};

export type ApiSettings = {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** The only model to serve, by served name; null: every model that live workers announce. */
  readonly servedModel: string | null;
  /** Folder or repository with tokenizer.json and tokenizer_config.json; null: what the workers announce. */
  readonly tokenizerFolder: string | null;
  readonly corsOrigins: readonly string[];
  /** Those of --api-key, by their SHA-256. */
  readonly apiKeys: readonly KeyEntry[];
  readonly apiKeyFile: string | null;
  /** Null: plain HTTP. */
  readonly tls: TlsFiles | null;
  readonly bodyBytesMax: number;
  readonly bodyTimeoutMs: number;
  /** 0: no limit. */
  readonly requestTimeoutMs: number;
  readonly queueCountMax: number;
  readonly queueTimeoutMs: number;
  /** Workers that one answer may lose and still go on. */
  readonly migrationLimit: number;
  /** Prompts with fewer uncached tokens go to the generate worker alone; 0: none; null: measured. */
  readonly localPrefillTokens: number | null;
};

export type KvObjectSettings = {
  readonly storage: 'memory' | 'file';
  readonly bytesMax: number;
  readonly ttlMs: number;
  /** JetStream replicas, 1 to 5. */
  readonly replicaCount: number;
};

export type WorkerSettings = {
  /** `tdist/demo`, a folder, or a repository of the hub. */
  readonly modelName: string;
  /** The `model` that clients send. */
  readonly servedName: string;
  readonly maxModelLen: number | null;
  readonly seqCountMax: number | null;
  /** Queued + running requests of one worker. */
  readonly requestCountMax: number;
  /** Share of the memory for weights and KV, in (0, 1]. */
  readonly memoryShare: number;
  readonly ignoreEos: boolean;
  readonly device: 'cpu' | 'auto' | 'webgpu' | 'cuda';
  /** Where ONNX Runtime's CUDA provider is; null: beside the executable. */
  readonly ortDir: string | null;
  /** Intra-op threads of one worker process. */
  readonly threadCount: number | null;
  /** What is computed in; the CPU knows float32 alone. */
  readonly weightDtype: 'auto' | 'float32' | 'float16' | 'bfloat16';
  /** auto: as it suits the checkpoint. */
  readonly quantization: 'auto' | 'none' | 'int8' | 'int4';
  /** How the model writes tool calls and thoughts; auto: its chat template says it. */
  readonly toolParser: ToolParserName | 'auto' | 'none';
  readonly reasoningParser: ReasoningParserName | 'auto' | 'none';
  /** How KV lies in blocks: arena, prefix cache, hand-over. */
  readonly kvDtype: KvDtype;
  readonly kvPath: 'auto' | 'shm' | 'object';
  /** The bucket of KV that crosses between hosts. */
  readonly kvObject: KvObjectSettings;
  /** Null: from the memory and the longest prompt. */
  readonly kvArenaBytes: number | null;
  readonly prefixCaching: boolean;
  readonly blockTokens: number;
  /** The periodic statistics line. */
  readonly statistics: boolean;
  readonly dataPlaneHost: string | null;
  readonly dataPlanePort: number;
};

export type ApiConfig = CommonConfig & ApiSettings & { readonly role: 'api' };

export type WorkerConfig = CommonConfig &
  WorkerSettings & {
    readonly role: 'worker';
    readonly kind: WorkerRole;
    /** At least 1; above 1 this process supervises so many of its kind. */
    readonly workerCount: number;
    /** From TDIST_WORKER_ID or VLLM_WORKER_ID; for names, logs and the metrics port. */
    readonly workerIndex: number;
    /** This worker's own: --starting-metrics-port + workerIndex; null: no metrics. */
    readonly metricsPort: number | null;
    readonly initializePlane: boolean;
  };

export type AllConfig = CommonConfig & {
  readonly role: 'all';
  readonly initializePlane: boolean;
  /** At least one worker in total. */
  readonly workerCounts: Readonly<Record<WorkerRole, number>>;
  readonly api: ApiSettings;
  readonly worker: WorkerSettings;
};

export type RoleConfig = ApiConfig | WorkerConfig | AllConfig;

/** How a process calls itself in logs and in the name of its log file. */
export function processName(config: RoleConfig): string {
  return config.role === 'worker' ? `${config.kind}-${config.workerIndex}` : config.role;
}

/** The configuration as `--dump-config` shows it: readable JSON without secrets. */
export function configText(config: RoleConfig): string {
  const masked = (name: string, value: unknown): unknown =>
    name === 'apiKeys' && Array.isArray(value) ? value.map(() => '***') : value;
  return JSON.stringify({ ...config, planeUris: config.planeUris.map(redactUri) }, masked, 2);
}
