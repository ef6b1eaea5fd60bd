// Folders of exports of the tiny Llama, opened and run as a worker does, beside the same weights in
// our own graph.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvPool } from '../../../src/kv/pool.ts';
import { type Model, openModel } from '../../../src/model/folder.ts';
import { cachedGraph } from '../../../src/model/graph-cache.ts';
import { Ort } from '../../../src/model/ort.ts';
import { ortLibraryPath } from '../../../src/model/ort-library.ts';
import type { Quantization } from '../../../src/model/quantize.ts';
import { OrtSession } from '../../../src/model/session.ts';
import { tinyConfig, tinyTensors, writeTinyModel } from '../tiny-llama.ts';
import { writeExport } from './export.ts';
import type { Kind } from './export-ops.ts';

export const seed = 7;

export class ForeignWorld {
  readonly #root = mkdtempSync(join(tmpdir(), 'tdist-foreign-'));
  readonly #closers: (() => void)[] = [];
  readonly cacheDir = join(this.#root, 'cache');
  #ort: Ort | null = null;
  #count = 0;

  async open(): Promise<void> {
    mkdirSync(this.cacheDir);
    this.#ort = new Ort(await ortLibraryPath(this.cacheDir));
  }

  get ort(): Ort {
    if (this.#ort === null) throw new Error('not open');
    return this.#ort;
  }

  /** An empty folder. */
  folder(): string {
    const path = join(this.#root, `model-${this.#count++}`);
    mkdirSync(path);
    return path;
  }

  /** As on the Hub. */
  hub(kind: Kind, options: { file?: string; config?: Record<string, unknown> } = {}): string {
    const folder = this.folder();
    writeText(folder);
    const { file = 'onnx/model.onnx', config = {} } = options;
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...hubConfig, ...config }));
    writeExport(join(folder, file), kind, tinyTensors(seed));
    return folder;
  }

  /** As onnxruntime-genai's builder leaves it. */
  genai(kind: Kind): string {
    const folder = this.folder();
    writeText(folder);
    const prefix = kind.prefix ?? '';
    writeFileSync(join(folder, 'genai_config.json'), JSON.stringify(genaiConfig(prefix)));
    writeExport(join(folder, 'decoder.onnx'), kind, tinyTensors(seed));
    return folder;
  }

  /** The same weights as safetensors. */
  own(): string {
    const folder = writeTinyModel(seed);
    this.#closers.push(() => rmSync(folder, { recursive: true }));
    return folder;
  }

  graph(model: Model): string {
    return cachedGraph(model.config, { ...model, cacheDir: this.cacheDir });
  }

  session(folder: string, quantization: Quantization | 'auto' = 'auto'): OrtSession {
    const model = openModel(folder, quantization, this.cacheDir);
    const { layers, kvHeads, headDim, vocabSize } = model.config;
    const geometry = { layers, kvHeads, headDim, blockTokens: 16 };
    const pool = new KvPool(geometry, { slots: 4, capacity: 512 });
    const session = new OrtSession(this.ort, {
      modelPath: this.graph(model),
      pool,
      vocabSize,
      threads: 1,
      stepTokens: 64,
    });
    this.#closers.push(() => {
      session.close();
      pool.close();
    });
    return session;
  }

  close(): void {
    for (const close of this.#closers.reverse()) close();
    rmSync(this.#root, { recursive: true });
  }
}

/** As the tiny Llama's class says of itself. */
const hubConfig = { ...tinyConfig, model_type: 'llama' };

function writeText(folder: string): void {
  writeFileSync(join(folder, 'tokenizer.json'), '{}');
  writeFileSync(join(folder, 'tokenizer_config.json'), '{}');
}

export function genaiConfig(prefix: string): object {
  const named = (name: string): string => `${prefix}${name}`;
  return {
    model: {
      type: 'llama',
      context_length: tinyConfig.max_position_embeddings,
      vocab_size: tinyConfig.vocab_size,
      eos_token_id: [tinyConfig.eos_token_id],
      decoder: {
        filename: 'decoder.onnx',
        head_size: tinyConfig.head_dim,
        hidden_size: tinyConfig.hidden_size,
        num_attention_heads: tinyConfig.num_attention_heads,
        num_hidden_layers: tinyConfig.num_hidden_layers,
        num_key_value_heads: tinyConfig.num_key_value_heads,
        inputs: {
          input_ids: named('input_ids'),
          attention_mask: named('attention_mask'),
          position_ids: named('position_ids'),
          past_key_names: named('past_key_values.%d.key'),
          past_value_names: named('past_key_values.%d.value'),
        },
        outputs: {
          logits: named('logits'),
          present_key_names: named('present.%d.key'),
          present_value_names: named('present.%d.value'),
        },
      },
    },
    search: { past_present_share_buffer: true },
  };
}
