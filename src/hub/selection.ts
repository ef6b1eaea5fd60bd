// Which files of a repository a worker reads: what describes the model, and its weights once. Pure. The
// same question of a folder in the cache tells whether it is whole.

import { indexedFiles, indexFile, weightFile } from '../model/folder.ts';
import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import type { HubFile } from './client.ts';

/** All of a model, or, for a gateway, its tokenizer and chat template alone. */
export type Part = 'model' | 'text';

const textFiles = { needed: ['tokenizer.json', 'tokenizer_config.json'] };
const modelFiles = { needed: ['config.json', ...textFiles.needed] };
const optional = {
  text: ['chat_template.jinja', 'chat_template.json', 'special_tokens_map.json'],
  model: ['generation_config.json'],
};

function neededFiles(part: Part): readonly string[] {
  return (part === 'model' ? modelFiles : textFiles).needed;
}

export type Selection = {
  readonly texts: readonly HubFile[];
  /** What says which files the weights are in; null where that is known already. */
  readonly index: HubFile | null;
  readonly weights: readonly HubFile[];
};

/** @param where `ORG/REPO` for messages. */
export function select(files: readonly HubFile[], part: Part, where: string): Selection {
  const needed = neededFiles(part);
  const names = files.map(({ name }) => name);
  const missing = needed.filter((name) => !names.includes(name));
  if (missing.length > 0) {
    const text = `${where} has no ${missing.join(', no ')}`;
    throw new Fault('config', `${text}; a model needs ${needed.join(', ')}`, { reason: 'entry' });
  }
  const wanted = [...needed, ...optional.text, ...(part === 'model' ? optional.model : [])];
  const texts = files.filter(({ name }) => wanted.includes(name));
  for (const file of texts) bound(file, limit.hubTextBytesMax, where);
  if (part === 'text') return { texts, index: null, weights: [] };
  const single = files.find(({ name }) => name === weightFile);
  const index = files.find(({ name }) => name === indexFile) ?? null;
  if (single === undefined && index !== null) {
    return { texts, index: bound(index, limit.hubTextBytesMax, where), weights: [] };
  }
  const all = files.filter(({ name }) => name.endsWith('.safetensors'));
  const weights = single === undefined ? all : [single];
  if (weights.length === 0) throw new Fault('config', noWeights(names, where), { reason: 'entry' });
  for (const file of weights) bound(file, limit.hubWeightBytesMax, where);
  return { texts, index: null, weights };
}

/** The files that the index names, which all must be there. */
export function selectIndexed(
  files: readonly HubFile[],
  index: Uint8Array,
  where: string,
): readonly HubFile[] {
  const names = indexedFiles(index, `${where}/${indexFile}`);
  const found = files.filter(({ name }) => names.includes(name));
  const missing = names.filter((name) => !found.some((file) => file.name === name));
  if (names.length > 0 && missing.length === 0) {
    return found.map((file) => bound(file, limit.hubWeightBytesMax, where));
  }
  const [first = 'any file'] = missing;
  const text = `${where}: ${indexFile} names ${first}, which is not there`;
  throw new Fault('config', `${text}; choose another revision`, { reason: 'entry' });
}

function bound(file: HubFile, bytesMax: number, where: string): HubFile {
  if (file.bytes <= bytesMax) return file;
  const text = `${where}/${file.name} has ${file.bytes} bytes; ${bytesMax} at most are taken`;
  throw new Fault('config', text, { reason: 'size' });
}

function noWeights(names: readonly string[], where: string): string {
  const others = names.filter((name) => /\.(bin|gguf|pth?|ckpt|h5|msgpack|onnx)$/.test(name));
  const [first] = others;
  const found = first === undefined ? '' : `; it has ${others.length} such as ${first}`;
  return `${where} has no *.safetensors file, and no others are read${found}; choose a repository that has them`;
}

/**
 * What a folder still lacks; empty where a worker can be started from it.
 * @param index the content of its index of weights; null where it has none.
 */
export function lacking(
  present: readonly string[],
  index: Uint8Array | null,
  part: Part,
): readonly string[] {
  const texts = neededFiles(part).filter((name) => !present.includes(name));
  if (part === 'text' || present.includes(weightFile)) return texts;
  const weights = index === null ? unindexed(present) : indexedNames(index);
  return [...texts, ...weights.filter((name) => !present.includes(name))];
}

function indexedNames(index: Uint8Array): readonly string[] {
  try {
    const names = indexedFiles(index, indexFile);
    return names.length === 0 ? [weightFile] : names;
  } catch {
    return [`a readable ${indexFile}`];
  }
}

/** Without an index, a file that calls itself one of several may be the first that came. */
function unindexed(present: readonly string[]): readonly string[] {
  const weights = present.filter((name) => name.endsWith('.safetensors'));
  const isPart = weights.some((name) => /-\d+-of-\d+\.safetensors$/.test(name));
  return weights.length === 0 || isPart ? [weightFile] : weights;
}
