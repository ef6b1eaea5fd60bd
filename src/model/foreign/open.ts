// A folder whose weights are in an ONNX graph: as on the Hub (config.json, and onnx/ or the files beside),
// or as onnxruntime-genai makes it. Chooses the file, and has its graph read and rewritten; nothing is
// written here.

import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Fault } from '../../std/fault.ts';
import { digest } from '../../std/hash.ts';
import { viewBytes } from '../../std/memory.ts';
import type { ModelConfig } from '../config.ts';
import type { Quantization } from '../quantize.ts';
import { contentDigest } from '../weight-digest.ts';
import { mapWeightFile, regionOf } from '../weight-file.ts';
import { type OnnxModel, parseOnnx } from './parse.ts';
import { rewrite } from './rewrite.ts';
import { type ModelFile, serialize } from './serialize.ts';
import { readGenaiSettings, readHubSettings, type Settings } from './settings.ts';

/** What the cache makes the graph of. */
export type Foreign = {
  readonly file: ModelFile;
  /** Of `file.locations`, in their order. */
  readonly dataPaths: readonly string[];
  /** Which files on disk these are: what a link leads to must be what was read. */
  readonly identity: string;
};

export type ForeignModel = {
  readonly foreign: Foreign;
  readonly config: ModelConfig;
  readonly quantization: Quantization;
  readonly notes: readonly string[];
  readonly modelDigest: string;
  readonly weightBytes: number;
};

/** Reads JSON of the folder by name; null where there is none. */
export type ReadJson = (name: string) => unknown;

const genaiFile = 'genai_config.json';
/** Names on the Hub: model + this. What is best for a CPU comes first. */
const suffixes = {
  none: [''],
  int8: ['_int8', '_quantized', '_uint8'],
  int4: ['_q4', '_bnb4'],
} as const;
const inOrder = ['none', 'int4', 'int8'] as const;
/** What a clone without Git LFS has in the place of large files. */
const lfsHead = 'version https://git-lfs';
/** The format ends there. */
const protobufBytesMax = 2 ** 31;

export function isForeign(folder: string): boolean {
  const names = readdirSync(folder);
  if (names.some((name) => name.endsWith('.safetensors'))) return false;
  return names.includes(genaiFile) || graphsIn(folder).length > 0;
}

/** Throws a Fault `config`. */
export function openForeign(
  folder: string,
  readJson: ReadJson,
  options: { quantization: Quantization | 'auto'; cacheDir: string | null },
): ForeignModel {
  const settings = readSettings(folder, readJson);
  const { path, quantization } = choose(folder, settings, options.quantization);
  const original = parseOnnx(mapped(path), path);
  const { config } = settings;
  const { model, attention, positions } = rewrite(original, {
    where: path,
    names: settings.names,
    dimensions: config,
    architecture: settings.architecture,
    instead: insteadOf(folder, path),
  });
  const file = serialize(model, config, path);
  const dataPaths = file.locations.map((location) => dataPath(path, location));
  checkLengths(model, file.locations, dataPaths);
  const sources = [path, ...dataPaths];
  return {
    foreign: { file, dataPaths, identity: identityOf(dataPaths) },
    config: { ...config, positions },
    quantization,
    notes: [
      `${path} is served as it is` +
        (attention === 'Concat' ? ', its attention as GroupQueryAttention' : ''),
    ],
    modelDigest: digest(
      'onnx\n',
      ...sources.map((source) => contentDigest({ path: source }, options.cacheDir)),
    ),
    weightBytes: sources.reduce((sum, source) => sum + statSync(source).size, 0),
  };
}

function readSettings(folder: string, readJson: ReadJson): Settings {
  const where = (name: string): string => join(folder, name);
  const [genai, hub] = [readJson(genaiFile), readJson('config.json')];
  if (genai !== null) return readGenaiSettings(genai, { hub, where: where(genaiFile) });
  if (hub === null) {
    throw new Fault('config', `${where('config.json')} is missing; a model folder needs it`);
  }
  return readHubSettings(hub, readJson('generation_config.json') ?? {}, where('config.json'));
}

/** Paths of graphs, relative to the folder. */
function graphsIn(folder: string): string[] {
  return ['onnx', '']
    .filter((sub) => existsSync(join(folder, sub)) && statSync(join(folder, sub)).isDirectory())
    .flatMap((sub) => readdirSync(join(folder, sub)).map((name) => join(sub, name)))
    .filter((name) => name.endsWith('.onnx'))
    .sort();
}

function choose(
  folder: string,
  settings: Settings,
  asked: Quantization | 'auto',
): { path: string; quantization: Quantization } {
  const present = graphsIn(folder);
  const kinds = asked === 'auto' ? inOrder : [asked];
  if (settings.file !== null) {
    // Such a folder has one graph, and its makers chose how it computes.
    if (asked === 'auto' && present.includes(settings.file)) {
      return { path: join(folder, settings.file), quantization: 'none' };
    }
    const what =
      asked === 'auto'
        ? 'is missing'
        : `is what there is: --quantization ${asked} needs another folder`;
    throw new Fault('config', `${join(folder, settings.file)} ${what}`);
  }
  for (const quantization of kinds) {
    for (const suffix of suffixes[quantization]) {
      for (const name of [join('onnx', `model${suffix}.onnx`), `model${suffix}.onnx`]) {
        if (present.includes(name)) return { path: join(folder, name), quantization };
      }
    }
  }
  const wanted = kinds.flatMap((kind) => suffixes[kind].map((suffix) => `model${suffix}.onnx`));
  const forWhat = asked === 'auto' ? '' : ` for --quantization ${asked}`;
  throw new Fault(
    'config',
    `${folder} has no graph${forWhat}: found ${present.join(', ')}; wanted one of ${wanted.join(', ')}`,
  );
}

function insteadOf(folder: string, path: string): string {
  const others = graphsIn(folder).filter(
    (name) => join(folder, name) !== path && !/f16|fp16|16\.onnx/.test(name),
  );
  return others.length > 0
    ? `use another graph of the folder (${others.join(', ')}): --quantization chooses`
    : 'use an export with float32 or 4-bit weights';
}

/** For the life of the process, as all weights. */
function mapped(path: string): Uint8Array {
  const { size } = statSync(path);
  if (size > protobufBytesMax) {
    throw new Fault(
      'config',
      `${path} has ${size} bytes; an ONNX file ends at ${protobufBytesMax}`,
    );
  }
  const { address, bytes } = regionOf(mapWeightFile(path, path));
  const content = bytes === 0 ? new Uint8Array() : viewBytes(address, bytes);
  if (new TextDecoder().decode(content.subarray(0, lfsHead.length)) !== lfsHead) return content;
  throw new Fault(
    'config',
    `${path} is a Git LFS pointer and not the file itself; run git lfs pull in its folder`,
  );
}

function dataPath(path: string, location: string): string {
  const parts = location.split(/[/\\]/);
  if (location === '' || parts.includes('..') || parts[0] === '' || /^[a-z]:/i.test(location)) {
    throw new Fault('config', `${path} has weights in "${location}", which is outside its folder`);
  }
  const found = join(dirname(path), location);
  if (existsSync(found) && statSync(found).isFile()) return realpathSync(found);
  throw new Fault('config', `${path} has weights in ${found}, which is missing; download it too`);
}

function checkLengths(
  { tensors }: OnnxModel,
  locations: readonly string[],
  paths: readonly string[],
): void {
  const sizes = paths.map((path) => statSync(path).size);
  for (const { name, payload } of tensors) {
    if (payload.kind !== 'outside') continue;
    const index = locations.indexOf(payload.location);
    const end = payload.offset + (payload.length ?? 0);
    if (end <= (sizes[index] ?? 0)) continue;
    throw new Fault(
      'config',
      `${paths[index]} has ${sizes[index]} bytes, tensor ${name} ends at ${end}; download it again`,
    );
  }
}

function identityOf(paths: readonly string[]): string {
  return paths
    .map((path) => {
      const { dev, ino } = statSync(path, { bigint: true });
      return `${dev}:${ino}`;
    })
    .join();
}
