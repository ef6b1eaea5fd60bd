// The ONNX form of a model, built once and kept in the cache folder under the digest of what it was
// built from. A folder appears whole (built beside, then renamed), so readers need no lock; of several
// workers that start together one builds, the others wait and then map the same file.

import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import { digest } from '../std/hash.ts';
import { allocateFile } from '../std/memory.ts';
import { waitForLock } from './build-lock.ts';
import type { ModelConfig } from './config.ts';
import type { Foreign } from './foreign/open.ts';
import { writeForeign } from './foreign/write.ts';
import { buildDecoder, type Decoder } from './onnx/decoder.ts';
import type { Precision } from './onnx/graph.ts';
import type { Quantization } from './quantize.ts';
import type { Weights } from './safetensors.ts';
import { type Crew, writeTogether, writeWeights } from './weight-writer.ts';

/** Raise it when the graph built from the same files changes. */
const graphVersion = 5;
/** The same, of graphs that others made. */
const foreignVersion = 1;
const dataFile = 'weights.bin';
const lockEnd = '.lock';

export type GraphOptions = {
  readonly modelDigest: string;
  readonly quantization?: Quantization;
  /** What the graph computes in; float32 unless said. */
  readonly precision?: Precision;
  readonly cacheDir: string;
  /** Called only when the graph has to be built. */
  readonly weights: () => Weights;
  /** A graph that others made: not built but rewritten. */
  readonly foreign?: Foreign | null;
};

export type Builders = {
  /** The threads that build, with the data file's path; closed when it is done. */
  readonly openCrew: (path: string) => Crew & { close(): void };
  readonly clock: Clock;
  /** Told of how much is written, and of how much there will be. */
  readonly onProgress: (bytes: number, total: number) => void;
  /** Another process builds the same. */
  readonly onWait: () => void;
  /** Ends the work, or the wait, with its reason; nothing is left of it. */
  readonly signal?: AbortSignal;
};

/** Path of the model file; built on this thread where it is not there. */
export function cachedGraph(config: ModelConfig, options: GraphOptions): string {
  const place = placeOf(options);
  if (existsSync(place.path)) return place.path;
  try {
    mkdirSync(place.shelf, { recursive: true });
    const partial = mkdtempSync(`${place.folder}.`);
    try {
      if (!copiesForeign(options, partial)) {
        const weights = options.weights();
        using begun = beginGraph(config, weights, options, partial);
        writeWeights(begun.decoder.placed, begun.fd);
      }
      renameSync(partial, place.folder);
    } finally {
      rmSync(partial, { recursive: true, force: true });
    }
    removePartials(place);
  } catch (thrown) {
    if (existsSync(place.path)) return place.path; // another worker was faster and tidied up
    throw failure(thrown, options.cacheDir);
  }
  return place.path;
}

/** The same, by a crew of threads, and by one process of those that want it. */
export async function builtGraph(
  config: ModelConfig,
  options: GraphOptions,
  builders: Builders,
): Promise<string> {
  const place = placeOf(options);
  if (existsSync(place.path)) return place.path;
  try {
    mkdirSync(place.shelf, { recursive: true });
    const isBuilt = (): boolean => existsSync(place.path);
    using lock = await waitForLock(`${place.folder}${lockEnd}`, isBuilt, builders);
    if (lock === null) return place.path;
    removePartials(place); // of builders that were killed: nobody else builds this now
    const partial = mkdtempSync(`${place.folder}.`);
    try {
      if (!copiesForeign(options, partial)) {
        const weights = options.weights();
        using begun = beginGraph(config, weights, options, partial);
        const { placed, dataBytes } = begun.decoder;
        using crew = disposable(builders.openCrew(begun.path));
        const onProgress = (bytes: number): void => builders.onProgress(bytes, dataBytes);
        await writeTogether(placed, crew, { onProgress, signal: builders.signal });
      }
      renameSync(partial, place.folder);
    } finally {
      rmSync(partial, { recursive: true, force: true });
    }
  } catch (thrown) {
    if (existsSync(place.path)) return place.path;
    throw failure(thrown, options.cacheDir);
  }
  return place.path;
}

type Place = { readonly shelf: string; readonly folder: string; readonly path: string };

function placeOf(options: GraphOptions): Place {
  const { modelDigest, quantization = 'none', precision = 'float32', cacheDir } = options;
  const { foreign = null } = options;
  const kind =
    foreign === null
      ? `graph ${graphVersion} ${quantization} ${precision}\n`
      : `foreign ${foreignVersion} ${foreign.identity}\n`;
  const key = digest(kind, modelDigest).slice(0, 32);
  const shelf = join(cacheDir, 'graphs');
  const folder = join(shelf, key);
  return { shelf, folder, path: join(folder, 'model.onnx') };
}

type Begun = Disposable & {
  readonly decoder: Decoder;
  /** Of the data file, open, with room for everything. */
  readonly fd: number;
  readonly path: string;
};

function beginGraph(
  config: ModelConfig,
  weights: Weights,
  { quantization = 'none', precision = 'float32', cacheDir }: GraphOptions,
  folder: string,
): Begun {
  const decoder = buildDecoder(config, weights, { dataFile, quantization, precision });
  writeFileSync(join(folder, 'model.onnx'), decoder.model);
  const path = join(folder, dataFile);
  return { decoder, path, ...openData(path, decoder.dataBytes, cacheDir) };
}

/** False: there is none, the graph is to be built. */
function copiesForeign({ foreign = null, cacheDir }: GraphOptions, folder: string): boolean {
  if (foreign === null) return false;
  writeForeign(foreign, folder, (path, bytes) => openData(path, bytes, cacheDir));
  return true;
}

/** A new file with room for everything. */
function openData(path: string, bytes: number, cacheDir: string): Disposable & { fd: number } {
  const fd = openSync(path, 'wx');
  const close = (): void => closeSync(fd);
  try {
    reserve(fd, bytes, cacheDir);
  } catch (thrown) {
    close();
    throw thrown;
  }
  return { fd, [Symbol.dispose]: close };
}

/** All of the file's space, so that a full disk is found before minutes of work and not after. */
function reserve(fd: number, bytes: number, cacheDir: string): void {
  if (bytes === 0 || allocateFile(fd, bytes)) return;
  const { bavail, bsize } = statfsSync(cacheDir);
  throw new Error(`it takes ${mib(bytes)} MiB, and ${mib(bavail * bsize)} MiB are free`);
}

function mib(bytes: number): number {
  return Math.ceil(bytes / 2 ** 20);
}

function disposable<T extends { close(): void }>(one: T): T & Disposable {
  return Object.assign(one, { [Symbol.dispose]: () => one.close() });
}

function failure(thrown: unknown, cacheDir: string): Fault {
  if (thrown instanceof Fault) return thrown;
  return new Fault(
    'config',
    `building the model's graph in ${cacheDir}: ${thrown instanceof Error ? thrown.message : thrown}; ` +
      'free some space there or set XDG_CACHE_HOME to another folder',
    { cause: thrown },
  );
}

/** What killed builders left: as large as the model. A living one's is no longer needed either. */
function removePartials({ shelf, folder }: Place): void {
  for (const name of readdirSync(shelf)) {
    const path = join(shelf, name);
    if (!path.startsWith(`${folder}.`) || name.endsWith(lockEnd)) continue;
    rmSync(path, { recursive: true, force: true });
  }
}
