// In a process of its own, whose environment names the Vulkan driver: a device's session and slots beside
// the CPU's on the same steps. Prints one JSON object with the largest differences.
//   bun device-main.ts GRAPH_FLOAT32 GRAPH_DEVICE PRECISION

import { KvPool } from '../../src/kv/pool.ts';
import { devices } from '../../src/model/device/device.ts';
import { DevicePool } from '../../src/model/device/pool.ts';
import { cachesOf, DeviceSession } from '../../src/model/device/session.ts';
import { precisions } from '../../src/model/onnx/graph.ts';
import { Ort } from '../../src/model/ort.ts';
import { ortLibraryPath } from '../../src/model/ort-library.ts';
import { OrtSession } from '../../src/model/session.ts';
import { trustedStep } from '../../src/role/device-trial.ts';
import { mapAnonymousMemory, viewFloats } from '../../src/std/memory.ts';
import { tinyConfig } from './tiny-llama.ts';

const [, , hostGraph = '', deviceGraph = '', wanted] = process.argv;
const precision = precisions.find((name) => name === wanted) ?? 'float32';
const {
  num_hidden_layers: layers,
  num_key_value_heads: kvHeads,
  head_dim: headDim,
  vocab_size: vocabSize,
} = tinyConfig;
const geometry = { layers, kvHeads, headDim, blockTokens: 16 };
const [slots, capacity, stepTokens] = [3, 64, 24];
const ort = new Ort(await ortLibraryPath('unused'));
const common = { vocabSize, threads: 1, stepTokens };
const device = devices.webgpu;

const hostPool = new KvPool(geometry, { slots, capacity });
const host = new OrtSession(ort, { ...common, modelPath: hostGraph, pool: hostPool });
const devicePool = new DevicePool(ort, geometry, { device, slots, capacity, precision });
const places = { slots, geometry, caches: cachesOf(devicePool) };
const options = { ...common, modelPath: deviceGraph, pool: places, provider: device.provider };
const onDevice = new DeviceSession(new OrtSession(ort, options), devicePool);

const blockFloats = layers * 2 * kvHeads * geometry.blockTokens * headDim;
const [left, right] = [mapAnonymousMemory(blockFloats * 4), mapAnonymousMemory(blockFloats * 4)];
const found: Record<string, number> = {};

function compare(name: string, a: Float32Array, b: Float32Array, count: number): void {
  let most = 0;
  for (let i = 0; i < count; i++)
    most = Math.max(most, Math.abs((a[i] ?? 0) - (b[i] ?? Number.NaN)));
  found[name] = most;
}

function ids(count: number, salt: number): number[] {
  return Array.from({ length: count }, (_, i) => (i * 7 + salt * 13 + 1) % vocabSize);
}

function prefill(name: string, slot: number, past: number, count: number, everyRow = false): void {
  const step = { slot, past, ids: ids(count, slot + past), everyRow };
  const wantedLogits = host.prefill(step).slice();
  const rows = everyRow ? count : 1;
  compare(name, wantedLogits, onDevice.prefill(step), rows * vocabSize);
}

function decode(name: string, pasts: readonly number[]): void {
  const count = pasts.length;
  const step = { count, ids: Int32Array.from(ids(count, 3)), pasts: Int32Array.from(pasts) };
  const wantedLogits = host.decode(step).slice();
  compare(name, wantedLogits, onDevice.decode(step), count * vocabSize);
}

prefill('first chunk of slot 0', 0, 0, 20);
prefill('first chunk of slot 2', 2, 0, 24);
prefill('slot 0 again, after another', 0, 20, 7);
prefill('slot 0 at once again', 0, 27, 5);
const prompts = [ids(9, 5)];
const together = host.prefillTogether({ slot: 1, prompts }).slice();
compare('together', together, onDevice.prefillTogether({ slot: 1, prompts }), vocabSize);
decode('batch of 3', [32, 9, 24]);
decode('batch of 2', [33, 10]);
prefill('behind a batch', 2, 25, 4);
prefill('every row', 1, 11, 6, true);

const block = { slot: 0, first: 16, count: 16 };
hostPool.copyRows('out', block, left.address);
devicePool.copyRows('out', block, right.address);
const [a, b] = [viewFloats(left.address, blockFloats), viewFloats(right.address, blockFloats)];
compare('rows out', a, b, blockFloats);
a.set(Float32Array.from(a, (_, i) => Math.sin(i)));
b.set(a);
hostPool.copyRows('in', { slot: 1, first: 0, count: 16 }, left.address);
devicePool.copyRows('in', { slot: 1, first: 0, count: 16 }, right.address);
prefill('behind rows that came in', 1, 16, 3);
hostPool.moveSlot(1, 0, 19);
devicePool.moveSlot(1, 0, 19);
decode('a moved slot', [19]);
devicePool.forget(0);
prefill('a slot that was given up', 0, 0, 4);
const trusted = trustedStep(onDevice, { kind: 'webgpu', capacity, stepTokens });

onDevice.close();
devicePool.close();
host.close();
hostPool.close();
console.log(JSON.stringify({ found, trusted }));
