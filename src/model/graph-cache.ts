// The ONNX form of a model, built once and kept in the cache folder under the digest of what it was
// built from. A folder appears whole (built beside, then renamed), so two workers may build at once.

import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../std/fault.ts';
import { digest } from '../std/hash.ts';
import type { ModelConfig } from './config.ts';
import type { WeightSink } from './onnx/graph.ts';
import { buildLlama } from './onnx/llama.ts';
import type { Quantization } from './quantize.ts';
import type { Weights } from './safetensors.ts';

/** Raise it when the graph built from the same files changes. */
const graphVersion = 3;
const dataFile = 'weights.bin';
/** Weights begin at page boundaries, so that ONNX Runtime can map them. */
const alignment = 4096;

/** Path of the model file; `weights` is called only when it has to be built. */
export function cachedGraph(
  config: ModelConfig,
  options: {
    modelDigest: string;
    quantization?: Quantization;
    cacheDir: string;
    weights: () => Weights;
  },
): string {
  const { modelDigest, quantization = 'none' } = options;
  const key = digest(`graph ${graphVersion} ${quantization}\n`, modelDigest).slice(0, 32);
  const shelf = join(options.cacheDir, 'graphs');
  const folder = join(shelf, key);
  const path = join(folder, 'model.onnx');
  if (existsSync(path)) return path;
  try {
    mkdirSync(shelf, { recursive: true });
    const partial = mkdtempSync(`${folder}.`);
    try {
      writeGraph(config, options.weights(), quantization, partial);
      renameSync(partial, folder);
    } finally {
      rmSync(partial, { recursive: true, force: true });
    }
    removePartials(shelf, key);
  } catch (thrown) {
    if (existsSync(path)) return path; // another worker was faster and tidied up
    if (thrown instanceof Fault) throw thrown;
    throw new Fault(
      'config',
      `building the model's graph in ${options.cacheDir}: ${thrown instanceof Error ? thrown.message : thrown}; ` +
        'free some space there or set XDG_CACHE_HOME to another folder',
      { cause: thrown },
    );
  }
  return path;
}

function writeGraph(
  config: ModelConfig,
  weights: Weights,
  quantization: Quantization,
  folder: string,
): void {
  const fd = openSync(join(folder, dataFile), 'wx');
  try {
    const model = buildLlama(config, weights, { dataFile, sink: fileSink(fd), quantization });
    const modelFd = openSync(join(folder, 'model.onnx'), 'wx');
    try {
      writeAll(modelFd, model, 0);
    } finally {
      closeSync(modelFd);
    }
  } finally {
    closeSync(fd);
  }
}

function fileSink(fd: number): WeightSink {
  let end = 0;
  return {
    append(bytes) {
      const offset = Math.ceil(end / alignment) * alignment;
      writeAll(fd, bytes, offset);
      end = offset + bytes.byteLength;
      return { offset, length: bytes.byteLength };
    },
  };
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.byteLength; ) {
    at += writeSync(fd, bytes, at, bytes.byteLength - at, position + at);
  }
}

/** What killed builders left: as large as the model. A living one's is no longer needed either. */
function removePartials(shelf: string, key: string): void {
  for (const name of readdirSync(shelf)) {
    if (name.startsWith(`${key}.`)) rmSync(join(shelf, name), { recursive: true, force: true });
  }
}
