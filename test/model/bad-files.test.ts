// Folders that cannot be loaded: each says what is wrong in one line, with the file and the tensor, before
// anything is computed, and through the threads that build just as well.

import { afterAll, expect, test } from 'bun:test';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openModel } from '../../src/model/folder.ts';
import { builtGraph } from '../../src/model/graph-cache.ts';
import { openWeightCrew } from '../../src/role/weight-crew.ts';
import { realClock } from '../../src/std/clock.ts';
import { toFault } from '../../src/std/fault.ts';
import { randomLayer, type StoredTensors, stored, storedFile } from './checkpoint-world.ts';
import { tinyConfig, tinyTensors } from './tiny-llama.ts';

const root = mkdtempSync(join(tmpdir(), 'tdist-bad-'));
afterAll(() => rmSync(root, { recursive: true }));

const q = 'model.layers.1.self_attn.q_proj';
const [first, second] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
const index = 'model.safetensors.index.json';

type World = { readonly folder: string; readonly tensors: StoredTensors };

/** A tiny model in two files, one of its matrices as AWQ; `change` damages tensors, `after` files. */
function write(
  change: (tensors: StoredTensors) => void,
  after: (world: World) => void,
  config: Record<string, unknown>,
): string {
  const tensors: StoredTensors = new Map();
  for (const [name, { shape, values }] of tinyTensors(2)) {
    if (name !== `${q}.weight`) tensors.set(name, stored('F32', shape, values));
  }
  const awq = { kind: 'awq', group: 32, isSymmetric: false } as const;
  const layer = randomLayer(awq, q, { rows: 64, columns: 64, seed: 1 });
  for (const [name, tensor] of layer.tensors) tensors.set(name, tensor);
  change(tensors);
  const folder = mkdtempSync(join(root, 'model-'));
  const quantization_config = { quant_method: 'awq', bits: 4, group_size: 32, version: 'gemm' };
  writeFileSync(
    join(folder, 'config.json'),
    JSON.stringify({ ...tinyConfig, quantization_config, ...config }),
  );
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
    writeFileSync(join(folder, file), '{}');
  }
  const all = [...tensors];
  const halves = [new Map(all.slice(0, 10)), new Map(all.slice(10))];
  const weight_map: Record<string, string> = {};
  for (const [i, file] of [first, second].entries()) {
    writeFileSync(join(folder, file), storedFile(halves[i] ?? new Map()));
    for (const name of halves[i]?.keys() ?? []) weight_map[name] = file;
  }
  writeFileSync(join(folder, index), JSON.stringify({ weight_map }));
  after({ folder, tensors });
  return folder;
}

async function load(folder: string): Promise<string> {
  try {
    const model = openModel(folder);
    const cacheDir = mkdtempSync(join(root, 'cache-'));
    await builtGraph(
      model.config,
      { ...model, cacheDir },
      {
        clock: realClock,
        openCrew: (path) => openWeightCrew(2, path),
        onProgress: () => undefined,
        onWait: () => undefined,
      },
    );
  } catch (thrown) {
    const { code, message } = toFault(thrown);
    return `${code}: ${message.replaceAll(`${folder}/`, '')}`;
  }
  return 'none';
}

function patch(folder: string, file: string, change: (bytes: Buffer) => void): void {
  const bytes = readFileSync(join(folder, file));
  change(bytes);
  writeFileSync(join(folder, file), bytes);
}

const nothing = (): void => undefined;

const cases: readonly {
  readonly name: string;
  readonly change?: (tensors: StoredTensors) => void;
  readonly after?: (world: World) => void;
  readonly config?: Record<string, unknown>;
  readonly says: string;
}[] = [
  { name: 'nothing', says: 'none' },
  {
    name: 'a missing shard',
    after: ({ folder }) => unlinkSync(join(folder, second)),
    says: `config: ${index} names 2 files of weights; missing: ${second}; download them`,
  },
  {
    name: 'a shard cut short',
    after: ({ folder }) => truncateSync(join(folder, second), 40_000),
    says: `config: ${second} is not a valid safetensors file: tensor `,
  },
  {
    name: 'a truncated header',
    after: ({ folder }) => truncateSync(join(folder, first), 100),
    says: `config: ${first} is not a valid safetensors file: header of `,
  },
  {
    name: 'an oversized header',
    after: ({ folder }) => {
      truncateSync(join(folder, first), 200 * 2 ** 20);
      patch(folder, first, (bytes) => bytes.writeBigUInt64LE(BigInt(150 * 2 ** 20)));
    },
    says: `config: ${first} is not a valid safetensors file: header of 157286400 bytes in a file of 209715200; download`,
  },
  {
    name: 'an empty shard',
    after: ({ folder }) => truncateSync(join(folder, first), 0),
    says: `config: ${first} is not a valid safetensors file: 0 bytes, wanted at least 8; download it again`,
  },
  {
    name: 'a config of another size',
    config: { intermediate_size: 128 },
    says: `config: ${first}: tensor model.layers.0.mlp.gate_proj.weight has shape [96, 64], config.json wants [128, 64]`,
  },
  {
    name: 'a missing tensor',
    change: (tensors) => tensors.delete('model.norm.weight'),
    says: `config: ${first}, ${second}: tensor model.norm.weight is missing`,
  },
  {
    name: 'a NaN among the scales, which a thread finds',
    change(tensors) {
      const scales = new Float16Array(128).fill(1);
      scales[77] = Number.NaN;
      tensors.set(`${q}.scales`, stored('F16', [2, 64], scales));
    },
    says: `config: ${second}: tensor ${q}.scales has NaN at 77, wanted a finite number; download it again`,
  },
  {
    name: 'a NaN among weights that are quantized here',
    change(tensors) {
      const values = new Float32Array(320 * 64).fill(0.5);
      values[200 * 64 + 3] = Number.NaN;
      tensors.set('lm_head.weight', stored('F32', [320, 64], values));
    },
    says: `config: ${second}: tensor lm_head.weight has a value in row 200 that is no finite number; download it again`,
  },
  {
    name: 'a bias that the config knows nothing of',
    change(tensors) {
      tensors.set(`${q}.bias`, stored('F32', [64], new Float32Array(64).fill(0.1)));
    },
    says: `config: ${second}: tensor ${q}.bias is not all zeros, and config.json says that there is none`,
  },
];

for (const { name, change = nothing, after = nothing, config = {}, says } of cases) {
  test(name, async () => {
    const found = await load(write(change, after, config));
    expect(found).toStartWith(says);
    expect(found).not.toContain('\n');
    expect(found.length).toBeLessThan(260);
    for (const cache of readdirSync(root).filter((entry) => entry.startsWith('cache-'))) {
      const built = join(root, cache, 'graphs');
      const left = says === 'none' ? [] : readdirSync(join(root, cache));
      if (left.includes('graphs')) expect(readdirSync(built)).toEqual([]);
      rmSync(join(root, cache), { recursive: true });
    }
  });
}

test('a bias of zeros, as packers write it, is none', async () => {
  const zeros = stored('F16', [64], new Float16Array(64));
  const change = (tensors: StoredTensors) => void tensors.set(`${q}.bias`, zeros);
  expect(await load(write(change, nothing, {}))).toBe('none');
});
