// A model in Hugging Face layout, found and read: the built-in one or a folder. Only what a worker
// needs in order to describe it is read at once; the weights wait until somebody builds from them.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import { Fault } from '../std/fault.ts';
import { digest } from '../std/hash.ts';
import { usualQuantization } from './checkpoint/scheme.ts';
import { type ModelConfig, parseConfig } from './config.ts';
import { demoFiles, demoName } from './demo.ts';
import { type Foreign, isForeign, openForeign } from './foreign/open.ts';
import type { Quantization } from './quantize.ts';
import { readWeights, type Weights } from './safetensors.ts';
import { contentDigest } from './weight-digest.ts';
import { mapWeightFile, type WeightFile } from './weight-file.ts';
import { weightMemoryBytes } from './weight-memory.ts';

export type Model = {
  /** What the user called it. */
  readonly source: string;
  readonly config: ModelConfig;
  /** How its weights are computed with. */
  readonly quantization: Quantization;
  /** What its user should know of that, in lines. */
  readonly notes: readonly string[];
  /** SHA-256 over config, weights and quantization: whoever has the same can read the other's KV. */
  readonly modelDigest: string;
  /** SHA-256 over the two files below, in this order. */
  readonly textDigest: string;
  /** tokenizer.json, as in the folder. */
  readonly tokenizer: Uint8Array;
  /** tokenizer_config.json with the chat template inside. */
  readonly tokenizerConfig: Uint8Array;
  /** Size of the weight files. */
  readonly weightBytes: number;
  /** Memory that they take while they are served. */
  readonly memoryBytes: number;
  /** Its graph, where it brings one; there are no `weights` then. */
  readonly foreign: Foreign | null;
  /** Reads the files' headers. What it gives is valid for the life of the process. */
  weights(): Weights;
};

/** Reads a file of the model by name; null when it has none of that name. */
type ReadFile = (name: string) => Uint8Array | null;

/** A model's files, wherever they are. */
type Files = {
  readonly read: ReadFile;
  /** Like `read`; throws a Fault where there is no such file. */
  readonly need: (name: string) => Uint8Array;
  /** The file's name in messages. */
  readonly where: (name: string) => string;
};

export type ModelText = Pick<Model, 'tokenizer' | 'tokenizerConfig'>;

/**
 * Throws a Fault `config`.
 *
 * @param name `--model-name`: `tdist/demo` or a folder.
 * @param quantization auto: as it suits the checkpoint.
 * @param cacheDir where digests of weight files are kept, which take a second for each GiB; null: nowhere.
 * @param source what the user called it, where that is not the folder's own name.
 */
export function openModel(
  name: string,
  quantization: Quantization | 'auto' = 'auto',
  cacheDir: string | null = null,
  source = name === demoName ? demoName : basename(name),
): Model {
  const files = openFiles('--model-name', name);
  const { read, need, where } = files;
  if (name !== demoName && isForeign(name)) return openGraph(name, files, quantization, cacheDir);
  const configBytes = need('config.json');
  const generation = read('generation_config.json');
  const config = parseConfig(
    parseJson(configBytes, where('config.json')),
    generation === null ? {} : parseJson(generation, where('generation_config.json')),
    where('config.json'),
  );
  const isDemo = name === demoName;
  const weightFiles = (isDemo ? ['model.safetensors'] : listWeightFiles(name, files)).map(
    (file): StoredFile => ({
      name: where(file),
      // What the executable carries cannot be mapped.
      from: isDemo ? { bytes: need(file) } : { path: join(name, file) },
    }),
  );
  const contents = digest(
    configBytes,
    generation ?? '',
    ...weightFiles.map(({ from }) => contentDigest(from, cacheDir)),
  );
  const text = readText(files);
  const chosen = quantization === 'auto' ? usualQuantization(config.scheme) : quantization;
  const weights = lazily(() => readWeights(weightFiles.map(openWeightFile)));
  return {
    ...text,
    source,
    config,
    quantization: chosen,
    notes: notesOn(config, quantization),
    modelDigest: chosen === 'none' ? contents : digest(`${chosen}\n`, contents),
    textDigest: digest(text.tokenizer, text.tokenizerConfig),
    weightBytes: weightFiles.reduce((sum, { from }) => sum + sizeOf(from), 0),
    memoryBytes: weightMemoryBytes(config, chosen),
    foreign: null,
    weights,
  };
}

/** A folder that brings its graph. */
function openGraph(
  name: string,
  files: Files,
  quantization: Quantization | 'auto',
  cacheDir: string | null,
): Model {
  const readJson = (file: string): unknown => {
    const bytes = files.read(file);
    return bytes === null ? null : parseJson(bytes, files.where(file));
  };
  const text = readText(files);
  const opened = openForeign(name, readJson, { quantization, cacheDir });
  return {
    ...text,
    ...opened,
    source: basename(name),
    textDigest: digest(text.tokenizer, text.tokenizerConfig),
    // Mapped, and once more in the form that the kernels want.
    memoryBytes: Math.ceil(opened.weightBytes * 1.1),
    weights: () => readWeights([]),
  };
}

type StoredFile = {
  /** In messages. */
  readonly name: string;
  readonly from: { readonly bytes: Uint8Array } | { readonly path: string };
};

function openWeightFile({ name, from }: StoredFile): WeightFile {
  return 'bytes' in from ? { name, bytes: from.bytes } : mapWeightFile(name, from.path);
}

function sizeOf(from: StoredFile['from']): number {
  return 'bytes' in from ? from.bytes.byteLength : statSync(from.path).size;
}

/** At the first call, and once. */
function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

function notesOn({ scheme }: ModelConfig, asked: Quantization | 'auto'): string[] {
  switch (scheme.kind) {
    case 'dense':
      return [];
    case 'fp8': {
      const chosen = 'weights are fp8: computed with as int8; --quantization chooses otherwise';
      return [...(asked === 'auto' ? [chosen] : []), ...scheme.notes];
    }
    case 'awq':
    case 'gptq':
      return asked === 'auto' || asked === 'int4'
        ? [`weights are 4-bit already (${scheme.kind}): kept as they are`]
        : [
            `weights are 4-bit already (${scheme.kind}), and ${asked} is made of them: larger, not better`,
          ];
  }
}

/** Only the text side of a model, for a gateway. @param name `--tokenizer`. */
export function openModelText(name: string): ModelText {
  return readText(openFiles('--tokenizer', name));
}

function readText({ read, need, where }: Files): ModelText {
  const tokenizer = need('tokenizer.json');
  parseJson(tokenizer, where('tokenizer.json'));
  const tokenizerConfig = withTemplate(need('tokenizer_config.json'), read, where);
  return { tokenizer, tokenizerConfig };
}

function openFiles(flag: string, name: string): Files {
  const isDemo = name === demoName;
  if (!isDemo) requireFolder(flag, name);
  const read: ReadFile = (file) => {
    const path = isDemo ? demoFiles[file] : join(name, file);
    return path !== undefined && existsSync(path) ? readFileSync(path) : null;
  };
  const where = (file: string): string => (isDemo ? `${demoName}/${file}` : join(name, file));
  const need = (file: string): Uint8Array => {
    const bytes = read(file);
    if (bytes !== null) return bytes;
    throw new Fault('config', `${where(file)} is missing; a model folder needs it`);
  };
  return { read, need, where };
}

function requireFolder(flag: string, name: string): void {
  if (existsSync(name) && statSync(name).isDirectory()) return;
  throw new Fault(
    'config',
    `${flag} ${name}: no such folder; give a folder in Hugging Face layout, ORG/REPO of the hub, or ${demoName}`,
  );
}

export const weightFile = 'model.safetensors';
export const indexFile = 'model.safetensors.index.json';
const indexSchema = v.looseObject({
  // Beside the index, as the Hub has them: a path would lead out of the folder.
  weight_map: v.record(v.string(), v.pipe(v.string(), v.regex(/^[^/]+\.safetensors$/))),
});

/**
 * As transformers looks for them: one file, or those that the index names. A folder with neither is
 * taken with all its files; other copies of the weights beside the first two are left alone.
 */
function listWeightFiles(folder: string, { read, where }: Files): string[] {
  const present = readdirSync(folder)
    .filter((file) => file.endsWith('.safetensors'))
    .sort();
  if (present.includes(weightFile)) return [weightFile];
  const index = read(indexFile);
  if (index !== null) return indexed(index, present, where(indexFile));
  if (present.length > 0) return present;
  throw new Fault(
    'config',
    `${folder} holds no *.safetensors file; a model folder needs its weights`,
  );
}

/** The files of weights that an index names. @param where the index's name in messages. */
export function indexedFiles(index: Uint8Array, where: string): string[] {
  const parsed = v.safeParse(indexSchema, parseJson(index, where));
  if (!parsed.success) {
    const issue = parsed.issues[0];
    throw new Fault(
      'config',
      `${where}: ${v.getDotPath(issue) ?? 'file'}: ${issue.message}; download it again`,
    );
  }
  return [...new Set(Object.values(parsed.output.weight_map))].sort();
}

function indexed(index: Uint8Array, present: readonly string[], where: string): string[] {
  const files = indexedFiles(index, where);
  const missing = files.filter((file) => !present.includes(file));
  if (missing.length === 0 && files.length > 0) return files;
  throw new Fault(
    'config',
    `${where} names ${files.length} files of weights; missing: ${missing.join(', ') || 'all'}; download them`,
  );
}

function parseJson(bytes: Uint8Array, where: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new Fault('config', `${where} is not valid JSON; download it again`);
  }
}

/** Newer folders keep the template in chat_template.jinja; the gateway gets one file either way. */
function withTemplate(
  bytes: Uint8Array,
  read: ReadFile,
  where: (file: string) => string,
): Uint8Array {
  const parsed = parseJson(bytes, where('tokenizer_config.json'));
  const template = read('chat_template.jinja');
  const isObject = typeof parsed === 'object' && parsed !== null;
  if (!isObject || template === null || 'chat_template' in parsed) return bytes;
  const chat_template = new TextDecoder().decode(template);
  return new TextEncoder().encode(JSON.stringify({ ...parsed, chat_template }));
}
