// A model folder in Hugging Face layout at a real model's dimensions with random weights: what speed
// is measured with where no trained weights are at hand. Time does not depend on what the weights say.

import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { demoFiles } from '../model/demo.ts';

export type Dimensions = {
  readonly name: string;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffn: number;
  readonly vocab: number;
  readonly ropeTheta: number;
  /** Longest sequence. */
  readonly positions: number;
  /** The head is the table of embeddings. Left out: it is. */
  readonly isTied?: boolean;
  /** Of the layers' matrices. Left out: bf16. fp8: with a scale for each, as llm-compressor writes it. */
  readonly format?: 'bf16' | 'fp8';
  /** More fields of config.json. */
  readonly config?: Readonly<Record<string, unknown>>;
};

/** HuggingFaceTB/SmolLM2-135M, its config.json; a quarter of its positions. */
export const smolLm135M: Dimensions = {
  name: 'smollm2-135m',
  hidden: 576,
  layers: 30,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  ffn: 1536,
  vocab: 49_152,
  ropeTheta: 100_000,
  positions: 2048,
};

/** Raise it when the files written for the same dimensions and seed change. */
const version = 1;

/** The folder, written unless it is there already: of 135M 270 MB. */
export async function randomModel(
  dimensions: Dimensions,
  options: { readonly cacheDir: string; readonly seed: number },
): Promise<string> {
  const shelf = join(options.cacheDir, 'random-models');
  const folder = join(shelf, `${dimensions.name}-${options.seed}-v${version}`);
  if (existsSync(folder)) return folder;
  mkdirSync(shelf, { recursive: true });
  const partial = mkdtempSync(`${folder}.`);
  try {
    writeFileSync(join(partial, 'config.json'), JSON.stringify(configOf(dimensions), null, 2));
    await writeText(partial, dimensions.vocab);
    await writeWeights(join(partial, 'model.safetensors'), dimensions, options.seed);
    renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return folder;
}

function configOf(d: Dimensions): Record<string, unknown> {
  return {
    architectures: ['LlamaForCausalLM'],
    hidden_size: d.hidden,
    intermediate_size: d.ffn,
    num_hidden_layers: d.layers,
    num_attention_heads: d.heads,
    num_key_value_heads: d.kvHeads,
    head_dim: d.headDim,
    vocab_size: d.vocab,
    max_position_embeddings: d.positions,
    rms_norm_eps: 1e-5,
    rope_theta: d.ropeTheta,
    tie_word_embeddings: d.isTied ?? true,
    hidden_act: 'silu',
    eos_token_id: 2,
    ...d.config,
  };
}

/** The built-in model's tokenizer, with words added until the vocabulary is full. */
async function writeText(folder: string, vocab: number): Promise<void> {
  const read = (name: string) => Bun.file(demoFiles[name] ?? '').text();
  const tokenizer = JSON.parse(await read('tokenizer.json'));
  const words: Record<string, number> = tokenizer.model.vocab;
  for (let id = Object.keys(words).length; id < vocab; id++) words[`Ġ${id}`] = id; // Ġ: a space
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  writeFileSync(join(folder, 'tokenizer_config.json'), await read('tokenizer_config.json'));
}

type Tensor = {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: 'BF16' | 'F8_E4M3';
  /** Standard deviation; 0: all are `mean`. */
  readonly spread: number;
  readonly mean: number;
};

/** Codes of fp8 are evenly spread over all their patterns; this is their root mean square. */
const fp8Spread = 97;

/**
 * Spread such that every activation has a size near 1: 1/√columns keeps it, what is added to the
 * residual is smaller by √(2 · layers), and logits come out near 2.
 */
function tensorsOf(d: Dimensions): readonly Tensor[] {
  const [q, kv] = [d.heads * d.headDim, d.kvHeads * d.headDim];
  const plain = (name: string, rows: number, columns: number, gain = 1): Tensor => ({
    name: `${name}.weight`,
    shape: [rows, columns],
    dtype: 'BF16',
    spread: gain / Math.sqrt(columns),
    mean: 0,
  });
  const one = (name: string, size: number, mean = 1): Tensor => {
    return { name, shape: [size], dtype: 'BF16', spread: 0, mean };
  };
  const norm = (name: string): Tensor => one(`${name}.weight`, d.hidden);
  const matrix = (name: string, rows: number, columns: number, gain = 1): Tensor[] => {
    const tensor = plain(name, rows, columns, gain);
    if (d.format !== 'fp8') return [tensor];
    return [
      { ...tensor, dtype: 'F8_E4M3' },
      one(`${name}.weight_scale`, 1, tensor.spread / fp8Spread),
      one(`${name}.input_scale`, 1, 0.01),
    ];
  };
  const added = 1 / Math.sqrt(2 * d.layers);
  const layer = (i: number): Tensor[] => {
    const at = `model.layers.${i}`;
    return [
      norm(`${at}.input_layernorm`),
      ...matrix(`${at}.self_attn.q_proj`, q, d.hidden),
      ...matrix(`${at}.self_attn.k_proj`, kv, d.hidden),
      ...matrix(`${at}.self_attn.v_proj`, kv, d.hidden),
      ...matrix(`${at}.self_attn.o_proj`, d.hidden, q, added),
      norm(`${at}.post_attention_layernorm`),
      ...matrix(`${at}.mlp.gate_proj`, d.ffn, d.hidden),
      ...matrix(`${at}.mlp.up_proj`, d.ffn, d.hidden),
      ...matrix(`${at}.mlp.down_proj`, d.hidden, d.ffn, added),
    ];
  };
  return [
    plain('model.embed_tokens', d.vocab, d.hidden, 2),
    ...Array.from({ length: d.layers }, (_, i) => layer(i)).flat(),
    norm('model.norm'),
    ...(d.isTied === false ? [plain('lm_head', d.vocab, d.hidden, 2)] : []),
  ];
}

/** Elements made at a time. */
const pieceCount = 1 << 23;

async function writeWeights(path: string, d: Dimensions, seed: number): Promise<void> {
  const tensors = tensorsOf(d);
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const { name, shape, dtype } of tensors) {
    const bytes = countOf(shape) * (dtype === 'BF16' ? 2 : 1);
    header[name] = { dtype, shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  // Padded with spaces, as the format allows, so that the data begins at an even address.
  const padded = new Uint8Array(Math.ceil(json.byteLength / 8) * 8).fill(0x20);
  padded.set(json);
  const size = new BigUint64Array([BigInt(padded.byteLength)]);
  const file = Bun.file(path).writer({ highWaterMark: 1 << 24 });
  file.write(new Uint8Array(size.buffer));
  file.write(padded);
  let state = seed | 1;
  for (const { shape, dtype, spread, mean } of tensors) {
    for (let at = 0; at < countOf(shape); at += pieceCount) {
      const count = Math.min(pieceCount, countOf(shape) - at);
      if (dtype === 'F8_E4M3') {
        const bytes = new Uint8Array(count);
        state = fillCodes(bytes, state);
        file.write(bytes);
      } else {
        const halves = new Uint16Array(count);
        if (spread === 0) halves.fill(halfOf(mean));
        else state = fillRandom(halves, spread, state);
        file.write(new Uint8Array(halves.buffer));
      }
      await file.flush();
    }
  }
  await file.end();
}

/** Any code but the two of NaN. Returns the generator's state. */
function fillCodes(bytes: Uint8Array, seed: number): number {
  let state = seed;
  for (let i = 0; i < bytes.length; i++) {
    state = step(state);
    const code = state & 0xff;
    bytes[i] = (code & 0x7f) === 0x7f ? 0 : code;
  }
  return state;
}

/** Uniform bfloat16 of standard deviation `spread`; returns the generator's state. */
function fillRandom(halves: Uint16Array, spread: number, seed: number): number {
  const float = new Float32Array(1);
  const word = new Uint32Array(float.buffer);
  const scale = (spread * Math.sqrt(12)) / 2 ** 32;
  let state = seed;
  for (let i = 0; i < halves.length; i++) {
    state = step(state);
    float[0] = state * scale; // state is a signed 32-bit integer
    halves[i] = (word[0] ?? 0) >>> 16;
  }
  return state;
}

/** xorshift32. */
function step(seed: number): number {
  let state = seed;
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state;
}

/** As bfloat16, cut off. */
function halfOf(value: number): number {
  return (new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0) >>> 16;
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
