import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type Model, openModel } from '../../../src/model/folder.ts';
import { toFault } from '../../../src/std/fault.ts';
import { tinyConfig, tinyTensors } from '../tiny-llama.ts';
import { writeExport } from './export.ts';
import type { Flaw, Kind } from './export-ops.ts';
import { inlineWeights } from './inline.ts';
import { ForeignWorld, genaiConfig, seed } from './world.ts';

const fused: Kind = { attention: 'fused', positions: false, keep: false };
const apart: Kind = { attention: 'apart', positions: true, keep: false };
const eager: Kind = { attention: 'eager', positions: true, keep: false };
const world = new ForeignWorld();

beforeAll(() => world.open());
afterAll(() => world.close());

function flawOf(open: () => unknown): string {
  try {
    open();
  } catch (thrown) {
    const { code, message } = toFault(thrown);
    return `${code}: ${message}`;
  }
  return 'none';
}

describe('which graph of a folder is served', () => {
  const variants = (...names: string[]): string => {
    const [first = '', ...rest] = names;
    const folder = world.hub(fused, { file: first });
    for (const name of rest) writeExport(join(folder, name), fused, tinyTensors(seed));
    return folder;
  };
  const chosen = (model: Model): string => `${model.quantization} ${model.notes.join()}`;

  test('the one that --quantization asks for', () => {
    const folder = variants('onnx/model.onnx', 'onnx/model_q4.onnx', 'onnx/model_quantized.onnx');
    expect(chosen(openModel(folder))).toMatch(/^none .*onnx\/model\.onnx is served as it is/);
    expect(chosen(openModel(folder, 'none'))).toMatch(/^none .*onnx\/model\.onnx/);
    expect(chosen(openModel(folder, 'int4'))).toMatch(/^int4 .*model_q4\.onnx/);
    expect(chosen(openModel(folder, 'int8'))).toMatch(/^int8 .*model_quantized\.onnx/);
  });

  test('without a flag 4 bits where there are no floats', () => {
    expect(chosen(openModel(variants('model_q4.onnx', 'model_int8.onnx')))).toMatch(/^int4 /);
  });

  test('a refusal names what there is', () => {
    const folder = variants('onnx/model_fp16.onnx', 'onnx/model_q4.onnx');
    expect(flawOf(() => openModel(folder, 'int8'))).toMatch(
      /^config: .* has no graph for --quantization int8: found onnx\/model_fp16\.onnx, onnx\/model_q4\.onnx; wanted one of model_int8\.onnx, /,
    );
  });

  test('float16 is refused with the name of a graph to use', () => {
    const folder = world.hub({ ...fused, flaw: 'half-kv' });
    expect(flawOf(() => openModel(folder))).toMatch(
      /keeps its KV as float16; on a CPU attention is computed in float32; use an export with/,
    );
    writeExport(join(folder, 'onnx/model_q4.onnx'), fused, tinyTensors(seed));
    writeExport(join(folder, 'onnx/model_q4f16.onnx'), fused, tinyTensors(seed));
    expect(flawOf(() => openModel(folder, 'none'))).toMatch(
      /use another graph of the folder \(onnx\/model_q4\.onnx\): --quantization chooses$/,
    );
  });

  test('safetensors come first', () => {
    const folder = world.hub(fused);
    const own = join(world.own(), 'model.safetensors');
    copyFileSync(own, join(folder, 'model.safetensors'));
    expect(openModel(folder).foreign).toBeNull();
  });

  test('onnxruntime-genai has one', () => {
    const folder = world.genai({ ...fused, prefix: 'my_' });
    const model = openModel(folder);
    expect(model.config).toMatchObject({ layers: 3, kvHeads: 2, headDim: 16, positions: 512 });
    expect(model.config.eosIds).toEqual([319]);
    expect(flawOf(() => openModel(folder, 'int4'))).toMatch(/decoder\.onnx is what there is/);
    rmSync(join(folder, 'decoder.onnx'));
    expect(flawOf(() => openModel(folder))).toMatch(/decoder\.onnx is missing/);
  });
});

describe('what is refused, by name', () => {
  const cases: readonly [Flaw, Kind, RegExp][] = [
    [
      'odd-input',
      fused,
      /the graph has an input past_conv\.0 \[batch, 64, 3\], which a decoder of /,
    ],
    ['last-logits', fused, /gives logits of the last position only \(prune_lm_head\)/],
    ['windowed-kv', fused, /GroupQueryAttention\/attended\.0 keeps a window of its KV only/],
    [
      'other-operator',
      fused,
      /KV is read by com\.microsoft\.MultiHeadAttention node .*; wanted: GroupQueryAttention, or Concat/,
    ],
    ['repeated-apart', eager, /Unsqueeze node .* repeats values along axis 1/],
    ['no-past', fused, /has no keys of layer 0 in its past KV/],
    [
      'capped-scores',
      eager,
      /layer 0 is not of a form that is known: a mask is not added to scores but Tanh to Min/,
    ],
    ['second-bias', eager, /a mask is not added to scores but Add to Min/],
    ['odd-scale', eager, /attention is scaled by 0\.333.*, where the architecture has 0\.25/],
    ['positions-of-kv', eager, /reads the length of the KV beside attention/],
  ];
  for (const [flaw, kind, message] of cases) {
    test(flaw, () => {
      const positions = kind.positions && flaw !== 'positions-of-kv';
      const folder = world.hub({ ...kind, positions, flaw });
      expect(flawOf(() => openModel(folder))).toMatch(message);
    });
  }

  test('a graph of another model than the configuration', () => {
    for (const [change, message] of [
      [{ num_hidden_layers: 4 }, /the graph has 3 layers, the configuration beside it 4/],
      [{ num_key_value_heads: 4 }, /the graph has 2 KV heads, the configuration beside it 4/],
      [{ head_dim: 32 }, /the graph has 16 head size, the configuration beside it 32/],
      [{ vocab_size: 321 }, /the graph has 320 tokens, the configuration beside it 321/],
    ] as const) {
      const folder = world.hub(fused, { config: change });
      expect(flawOf(() => openModel(folder))).toMatch(message);
    }
  });

  test('single operators where the architecture has windows, or is not known', () => {
    const mistral = { model_type: 'mistral', architectures: ['MistralForCausalLM'] };
    const windowed = world.hub(eager, { config: { ...mistral, sliding_window: 32 } });
    expect(flawOf(() => openModel(windowed))).toMatch(/where the model has windows or caps/);
    const odd = { model_type: 'odd', architectures: ['OddForCausalLM'] };
    expect(flawOf(() => openModel(world.hub(eager, { config: odd })))).toMatch(
      /model_type odd .* is not supported/,
    );
    // GroupQueryAttention says it all by itself.
    expect(openModel(world.hub(fused, { config: odd })).config.layers).toBe(3);
    const genai = world.genai(eager);
    expect(flawOf(() => openModel(genai))).toMatch(/only the model’s config\.json explains/);
    writeFileSync(
      join(genai, 'config.json'),
      JSON.stringify({ ...tinyConfig, model_type: 'llama' }),
    );
    expect(openModel(genai).config.layers).toBe(3);
  });

  test('data that is missing, cut short or elsewhere', () => {
    const folder = world.hub(fused);
    const data = join(folder, 'onnx/model.onnx_data');
    truncateSync(data, 1000);
    expect(flawOf(() => openModel(folder))).toMatch(
      /model\.onnx_data has 1000 bytes, tensor .* ends /,
    );
    rmSync(data);
    expect(flawOf(() => openModel(folder))).toMatch(/model\.onnx_data, which is missing/);
    const path = join(folder, 'onnx/model.onnx');
    const bytes = readFileSync(path);
    const text = bytes.toString('latin1').replaceAll('model.onnx_data', '../../.ssh/keys');
    writeFileSync(path, Buffer.from(text, 'latin1'));
    expect(flawOf(() => openModel(folder))).toMatch(
      /weights in "\.\.\/\.\.\/\.ssh\/keys", which is outside/,
    );
  });

  test('a file that is not there yet, or is none', () => {
    const folder = world.hub(fused);
    const path = join(folder, 'onnx/model.onnx');
    for (const [content, message] of [
      ['version https://git-lfs.github.com/spec/v1\noid sha256:0', /is a Git LFS pointer and not /],
      ['', /onnx\/model\.onnx has no graph; download it again/],
      ['no graph', /onnx\/model\.onnx is not an ONNX model that can be read/],
    ] as const) {
      writeFileSync(path, content);
      expect(flawOf(() => openModel(folder))).toMatch(message);
    }
  });

  test('a genai_config.json of another kind', () => {
    const folder = world.genai(fused);
    const path = join(folder, 'genai_config.json');
    const config = genaiConfig('') as { model: { decoder: Record<string, unknown> } };
    for (const [change, message] of [
      [{ filename: '../../model.onnx' }, /model\.decoder\.filename/],
      [{ pipeline: [] }, /a model in several graphs is not supported/],
      [{ num_hidden_layers: 0 }, /model\.decoder\.num_hidden_layers/],
      [{ inputs: { past_key_names: 'past' } }, /model\.decoder\.inputs\.past_key_names/],
    ] as const) {
      const decoder = { ...config.model.decoder, ...change };
      writeFileSync(path, JSON.stringify({ model: { ...config.model, decoder } }));
      expect(flawOf(() => openModel(folder))).toMatch(message);
    }
  });
});

describe('a graph in the cache', () => {
  test('takes no room for data that lies in files of its own', () => {
    const folder = world.hub(apart);
    const place = dirname(world.graph(openModel(folder)));
    expect(readdirSync(place).sort()).toEqual(['data.0', 'model.onnx']);
    const [linked, source] = [join(place, 'data.0'), join(folder, 'onnx/model.onnx_data')];
    expect(statSync(linked).ino).toBe(statSync(source).ino);
  });

  test('has what the model file held, mapped from a file', () => {
    const folder = world.hub(apart);
    const path = join(folder, 'onnx/model.onnx');
    inlineWeights(path);
    const place = dirname(world.graph(openModel(folder)));
    expect(readdirSync(place).sort()).toEqual(['model.onnx', 'weights.bin']);
    expect(statSync(join(place, 'model.onnx')).size).toBeLessThan(statSync(path).size / 4);
    const ids = [5, 9, 2, 100];
    const [inline, own] = [world.session(folder), world.session(world.own())];
    const wanted = own.prefill({ slot: 0, past: 0, ids }).slice(0, tinyConfig.vocab_size);
    const found = inline.prefill({ slot: 0, past: 0, ids });
    const worst = Math.max(...wanted.map((value, i) => Math.abs(value - (found[i] ?? 0))));
    expect(worst).toBeLessThan(1e-4);
  });

  test('is found again, and is another one for other data under the same name', () => {
    const folder = world.hub(apart);
    const first = world.graph(openModel(folder));
    expect(world.graph(openModel(folder))).toBe(first);
    const data = join(folder, 'onnx/model.onnx_data');
    const before = openModel(folder).modelDigest;
    // The same bytes in another file: the same model, but the link leads to the old one.
    copyFileSync(data, `${data}.new`);
    renameSync(`${data}.new`, data);
    expect(openModel(folder).modelDigest).toBe(before);
    expect(world.graph(openModel(folder))).not.toBe(first);
    const bytes = readFileSync(data);
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    writeFileSync(data, bytes);
    expect(openModel(folder).modelDigest).not.toBe(before);
  });

  test('of a folder of symbolic links, as the Hub’s own cache is', () => {
    const folder = world.hub(apart);
    const blobs = join(folder, '..', `blobs-${Bun.hash(folder)}`);
    mkdirSync(blobs);
    for (const [index, name] of ['model.onnx', 'model.onnx_data'].entries()) {
      const path = join(folder, 'onnx', name);
      renameSync(path, join(blobs, `${index}`));
      symlinkSync(join(blobs, `${index}`), path);
    }
    const path = world.graph(openModel(folder));
    expect(existsSync(path)).toBe(true);
    world.ort.releaseSession(world.ort.createSession(path, { threads: 1 }));
  });

  test('of data that cannot be linked is a copy', () => {
    const folder = world.hub(apart);
    // Another file system, where there is one.
    const shm = `/dev/shm/tdist-test-${process.pid}.data`;
    const data = join(folder, 'onnx/model.onnx_data');
    copyFileSync(data, shm);
    try {
      expect(() => linkSync(shm, join(folder, 'probe'))).toThrow(/EXDEV/);
      rmSync(data);
      symlinkSync(shm, data);
      const path = world.graph(openModel(folder));
      world.ort.releaseSession(world.ort.createSession(path, { threads: 1 }));
      const copied = readFileSync(join(dirname(path), 'data.0'));
      expect(copied.equals(readFileSync(shm))).toBe(true);
    } finally {
      rmSync(shm);
    }
  });
});
