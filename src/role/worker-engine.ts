// The engine of a worker process: its size from flags, model and memory, and the device that it starts on.

import { availableParallelism } from 'node:os';
import type { WorkerConfig, WorkerSettings } from '../cli/config.ts';
import type { Model } from '../model/folder.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { assert, Fault, toFault } from '../std/fault.ts';
import { digest } from '../std/hash.ts';
import type { Log } from '../telemetry/log.ts';
import { cacheDir } from './cache-dir.ts';
import {
  type Choice,
  chooseDevices,
  type DeviceFacts,
  type DeviceMemory,
  noDevices,
} from './device-choice.ts';
import { libraryFor, lookAtDevices } from './device-look.ts';
import { type EngineHandle, startEngine } from './engine-handle.ts';
import type { EngineOptions } from './engine-thread.ts';
import { freeMemoryBytes, freeShmBytes, memoryBytes } from './free-memory.ts';
import { graphOf } from './graph.ts';
import { sizeWorker } from './sizing.ts';

export type EngineOrder = {
  readonly config: WorkerConfig;
  readonly model: Model;
  readonly workerId: string;
  readonly log: Log;
  /** Aborted: the worker is to end, whatever is being built. */
  readonly signal: AbortSignal;
};

/** On the device that was asked for; with `auto` on the first that works, the CPU being the last. */
export async function startWorkerEngine(
  order: EngineOrder,
  onCrash: (reason: string) => void,
): Promise<{ readonly engine: EngineHandle; readonly options: EngineOptions }> {
  const { config, log, signal } = order;
  const { device } = config;
  // Looking wakes drivers: not for a worker that computes on the CPU in any case.
  const found = device === 'cpu' ? noDevices : lookAtDevices(config.ortDir);
  const dtype = dtypeOf(order);
  const facts = order.model.foreign === null ? found : { ...found, cudaDir: null };
  const candidates = chooseDevices({ device, dtype }, facts);
  for (let i = 0; ; i++) {
    const choice = candidates[i];
    assert(choice !== undefined, 'no device to try');
    try {
      const options = await engineOptions(order, choice, facts);
      const engine = await startEngine(options, onCrash);
      if (device === 'auto') log.info(`--device auto: computing on ${choice.device}`);
      return { engine, options };
    } catch (thrown) {
      const { code, message } = toFault(thrown);
      // A device that is not there, or has no room, is no better in another precision.
      while (code === 'config' && candidates[i + 1]?.device === choice.device) i++;
      const next = candidates[i + 1];
      if (next === undefined || signal.aborted) throw thrown;
      const { device: failed, precision } = choice;
      const change = `${failed} in ${precision} does not work, trying ${next.device} in ${next.precision}`;
      log.info(change, { reason: message });
    }
  }
}

/** The graphs of others compute in float32 as they are. Throws a Fault `config` where that cannot be. */
export function dtypeOf({
  config,
  model,
}: {
  readonly config: WorkerSettings;
  readonly model: Model;
}): WorkerSettings['weightDtype'] {
  if (model.foreign === null) return config.weightDtype;
  if (config.device !== 'cuda') return 'float32';
  throw new Fault(
    'config',
    `--device cuda: ${model.source} is an ONNX graph whose KV is float32, and CUDA computes attention in float16; use --device webgpu or cpu, or the model's safetensors`,
  );
}

async function engineOptions(
  { config, model, workerId, log, signal }: EngineOrder,
  { device, precision }: Choice,
  facts: DeviceFacts,
): Promise<EngineOptions> {
  const geometry: Geometry = {
    layers: model.config.layers,
    kvHeads: model.config.kvHeads,
    headDim: model.config.headDim,
    blockTokens: config.blockTokens,
  };
  const cache = cacheDir();
  const { threadCount } = config;
  const modelPath = await graphOf(model, { cacheDir: cache, threadCount, log, precision, signal });
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
    device:
      device === 'cpu'
        ? null
        : { memory: deviceMemory(facts), share: config.memoryShare, precision },
  });
  return {
    namespace: config.namespace,
    workerId,
    role: config.kind,
    device,
    libraryPath: await libraryFor(device, facts, cache),
    modelPath,
    // KV of the one precision is not quite KV of the other.
    modelDigest:
      precision === 'float32' ? model.modelDigest : digest(`${precision}\n`, model.modelDigest),
    precision,
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

/** Where no driver tells, as of GPUs that share the host's memory: the host's. */
export function deviceMemory({ memory }: DeviceFacts): DeviceMemory {
  return memory ?? { totalBytes: memoryBytes(), freeBytes: freeMemoryBytes() };
}
