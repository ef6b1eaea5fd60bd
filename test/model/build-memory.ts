// Run as a process of its own: builds the int4 graph of a model of some 450 MB by two threads and says by
// how much the process grew at most. The weights are a hole in a file, so nothing is written for them;
// mapped pages count all the same.

import {
  closeSync,
  ftruncateSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { openModel } from '../../src/model/folder.ts';
import { builtGraph } from '../../src/model/graph-cache.ts';
import { openWeightCrew } from '../../src/role/weight-crew.ts';
import { realClock } from '../../src/std/clock.ts';
import { tinyConfig } from './tiny-llama.ts';

const [hidden, ffn, layers, vocab] = [1024, 4096, 6, 8192];

const folder = process.argv[2] ?? '';
const config = {
  ...tinyConfig,
  hidden_size: hidden,
  intermediate_size: ffn,
  num_hidden_layers: layers,
  num_attention_heads: 16,
  num_key_value_heads: 4,
  head_dim: 64,
  vocab_size: vocab,
};
writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
  writeFileSync(join(folder, file), '{}');
}

const header: Record<string, unknown> = {};
let [end, tensor] = [0, 0];
const add = (name: string, ...shape: number[]): void => {
  const bytes = shape.reduce((a, b) => a * b, 4);
  header[`${name}.weight`] = { dtype: 'F32', shape, data_offsets: [end, end + bytes] };
  end += bytes;
  tensor = Math.max(tensor, bytes);
};
add('model.embed_tokens', vocab, hidden);
for (let i = 0; i < layers; i++) {
  const layer = `model.layers.${i}`;
  add(`${layer}.self_attn.q_proj`, hidden, hidden);
  add(`${layer}.self_attn.k_proj`, hidden / 4, hidden);
  add(`${layer}.self_attn.v_proj`, hidden / 4, hidden);
  add(`${layer}.self_attn.o_proj`, hidden, hidden);
  add(`${layer}.mlp.gate_proj`, ffn, hidden);
  add(`${layer}.mlp.up_proj`, ffn, hidden);
  add(`${layer}.mlp.down_proj`, hidden, ffn);
  add(`${layer}.input_layernorm`, hidden);
  add(`${layer}.post_attention_layernorm`, hidden);
}
add('model.norm', hidden);
add('lm_head', vocab, hidden);

const json = Buffer.from(JSON.stringify(header));
const size = Buffer.alloc(8);
size.writeBigUInt64LE(BigInt(json.byteLength));
const path = join(folder, 'model.safetensors');
const fd = openSync(path, 'w');
writeSync(fd, Buffer.concat([size, json]));
ftruncateSync(fd, 8 + json.byteLength + end);
closeSync(fd);

/** Of this process, the most so far. */
function residentMost(): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(line?.[1]) * 1024;
}

const before = residentMost();
const model = openModel(folder, 'int4', folder);
const graph = await builtGraph(
  model.config,
  { ...model, cacheDir: folder },
  {
    clock: realClock,
    openCrew: (file) => openWeightCrew(2, file),
    onProgress: () => undefined,
    onWait: () => undefined,
  },
);
const growth = residentMost() - before;
const result = statSync(join(dirname(graph), 'weights.bin')).size;
process.stdout.write(JSON.stringify({ growth, source: statSync(path).size, result, tensor }));
process.exit(0);
