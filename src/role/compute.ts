// What an engine computes with: a Runner and the slots that it writes, on the CPU or on a device.

import type { Runner } from '../engine/runner.ts';
import { KvPool, type KvSlots } from '../kv/pool.ts';
import { type DeviceKind, devices } from '../model/device/device.ts';
import { DevicePool } from '../model/device/pool.ts';
import { cachesOf, DeviceSession } from '../model/device/session.ts';
import type { Precision } from '../model/onnx/graph.ts';
import { Ort } from '../model/ort.ts';
import { OrtSession } from '../model/session.ts';
import { limit } from '../protocol/limit.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { realClock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { ComputeKind } from './device-choice.ts';
import { trustedStep } from './device-trial.ts';

export type ComputeOptions = {
  readonly device: ComputeKind;
  /** Of the graph, and so of its KV in slots. */
  readonly precision: Precision;
  readonly libraryPath: string;
  readonly modelPath: string;
  readonly geometry: Geometry;
  readonly vocabSize: number;
  readonly threads: number;
  readonly slots: number;
  readonly maxModelLen: number;
};

export type Compute = {
  readonly runner: Runner;
  readonly pool: KvSlots;
  /** Tokens of one step at most. */
  readonly stepTokens: number;
  close(): void;
};

export function openCompute(options: ComputeOptions): Compute {
  return options.device === 'cpu' ? openCpu(options) : openDevice(options, options.device);
}

function openCpu(options: ComputeOptions): Compute {
  const { geometry, slots, maxModelLen: capacity } = options;
  const { stepTokens } = limit;
  const pool = new KvPool(geometry, { slots, capacity });
  const ort = new Ort(options.libraryPath);
  const runner = new OrtSession(ort, { ...options, pool, stepTokens });
  warmUp(runner, pool, stepTokens);
  return { runner, pool, stepTokens, close: () => closeBoth(runner, pool) };
}

function openDevice(options: ComputeOptions, kind: DeviceKind): Compute {
  const { geometry, slots, maxModelLen: capacity } = options;
  const device = devices[kind];
  const ort = new Ort(options.libraryPath);
  const { precision } = options;
  const pool = named(
    kind,
    () => new DevicePool(ort, geometry, { device, slots, capacity, precision }),
  );
  const session = new OrtSession(ort, {
    ...options,
    pool: { slots, geometry, caches: cachesOf(pool) },
    stepTokens: limit.stepTokens,
    provider: device.provider,
  });
  const runner = new DeviceSession(session, pool);
  const stepTokens = trustedStep(runner, { kind, capacity, stepTokens: limit.stepTokens });
  warmUp(runner, pool, stepTokens);
  return { runner, pool, stepTokens, close: () => closeBoth(runner, pool) };
}

/** ONNX Runtime's words for a machine without the device, in the user's. */
function named<T>(kind: DeviceKind, open: () => T): T {
  try {
    return open();
  } catch (thrown) {
    const { message } = toFault(thrown);
    if (kind !== 'webgpu' || !/adapter|Vulkan/i.test(message)) throw thrown;
    throw new Fault(
      'config',
      "--device webgpu: Vulkan shows no GPU that WebGPU can use; install the GPU's Vulkan driver (`vulkaninfo --summary` lists what is there), or use --device cpu",
      { cause: thrown },
    );
  }
}

function closeBoth(runner: { close(): void }, pool: KvSlots): void {
  runner.close();
  pool.close();
}

/** Longer runs of a large model are not tried: they would take longer than they spare anybody. */
const warmUpRunMs = 1000;

/** The first runs of each shape are slower; better here than in somebody's first request. */
function warmUp(runner: Runner, pool: KvSlots, stepTokens: number): void {
  let tokenMs = 0;
  // The very first run says nothing of how long the next takes.
  for (const length of [1, 1, 16, stepTokens]) {
    const count = Math.min(length, pool.capacity);
    if (count * tokenMs > warmUpRunMs) break;
    pool.touch(0, count);
    const beginMs = realClock.nowMs();
    runner.prefill({ slot: 0, past: 0, ids: new Array<number>(count).fill(0) });
    tokenMs = (realClock.nowMs() - beginMs) / count;
  }
  const count = Math.min(pool.slots, 4);
  for (let slot = 0; slot < count; slot++) pool.touch(slot, 1);
  runner.decode({ count, ids: new Int32Array(count), pasts: new Int32Array(count) });
}
