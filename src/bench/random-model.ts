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

/** The folder, written unless it is there already: as bfloat16, tied embeddings, 270 MB for 135M. */
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
    tie_word_embeddings: true,
    hidden_act: 'silu',
    eos_token_id: 2,
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

type Tensor = { readonly name: string; readonly shape: readonly number[]; readonly spread: number };

/**
 * Spread such that every activation has a size near 1: 1/√columns keeps it, what is added to the
 * residual is smaller by √(2 · layers), and logits come out near 2.
 */
function tensorsOf(d: Dimensions): readonly Tensor[] {
  const [q, kv] = [d.heads * d.headDim, d.kvHeads * d.headDim];
  const matrix = (name: string, rows: number, columns: number, gain = 1): Tensor => ({
    name: `${name}.weight`,
    shape: [rows, columns],
    spread: gain / Math.sqrt(columns),
  });
  const norm = (name: string): Tensor => ({ name: `${name}.weight`, shape: [d.hidden], spread: 0 });
  const added = 1 / Math.sqrt(2 * d.layers);
  const layer = (i: number): Tensor[] => {
    const at = `model.layers.${i}`;
    return [
      norm(`${at}.input_layernorm`),
      matrix(`${at}.self_attn.q_proj`, q, d.hidden),
      matrix(`${at}.self_attn.k_proj`, kv, d.hidden),
      matrix(`${at}.self_attn.v_proj`, kv, d.hidden),
      matrix(`${at}.self_attn.o_proj`, d.hidden, q, added),
      norm(`${at}.post_attention_layernorm`),
      matrix(`${at}.mlp.gate_proj`, d.ffn, d.hidden),
      matrix(`${at}.mlp.up_proj`, d.ffn, d.hidden),
      matrix(`${at}.mlp.down_proj`, d.hidden, d.ffn, added),
    ];
  };
  return [
    matrix('model.embed_tokens', d.vocab, d.hidden, 2),
    ...Array.from({ length: d.layers }, (_, i) => layer(i)).flat(),
    norm('model.norm'),
  ];
}

async function writeWeights(path: string, d: Dimensions, seed: number): Promise<void> {
  const tensors = tensorsOf(d);
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const { name, shape } of tensors) {
    const bytes = countOf(shape) * 2;
    header[name] = { dtype: 'BF16', shape, data_offsets: [end, end + bytes] };
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
  for (const { shape, spread } of tensors) {
    const halves = new Uint16Array(countOf(shape));
    state = spread === 0 ? state : fillRandom(halves, spread, state);
    if (spread === 0) halves.fill(0x3f80); // 1
    file.write(new Uint8Array(halves.buffer));
    await file.flush();
  }
  await file.end();
}

/** Uniform bfloat16 of standard deviation `spread`, by xorshift32; returns the generator's state. */
function fillRandom(halves: Uint16Array, spread: number, seed: number): number {
  const float = new Float32Array(1);
  const word = new Uint32Array(float.buffer);
  const scale = (spread * Math.sqrt(12)) / 2 ** 32;
  let state = seed;
  for (let i = 0; i < halves.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    float[0] = state * scale; // state is a signed 32-bit integer
    halves[i] = (word[0] ?? 0) >>> 16;
  }
  return state;
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
