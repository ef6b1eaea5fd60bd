// One of the tiny models here, opened: what transformers computes with it, and our session over it.

import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { KvPool } from '../../../src/kv/pool.ts';
import type { ModelConfig } from '../../../src/model/config.ts';
import { openModel } from '../../../src/model/folder.ts';
import { cachedGraph } from '../../../src/model/graph-cache.ts';
import { Ort } from '../../../src/model/ort.ts';
import { ortLibraryPath } from '../../../src/model/ort-library.ts';
import type { Quantization } from '../../../src/model/quantize.ts';
import { OrtSession } from '../../../src/model/session.ts';

const ids = v.array(v.number());
const goldenSchema = v.array(v.object({ input_ids: ids, output_ids: ids, least_gap: v.number() }));

export const modelNames = readdirSync(import.meta.dir, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
  .sort();

export type Opened = {
  readonly config: ModelConfig;
  readonly golden: v.InferOutput<typeof goldenSchema>;
  /** transformers' logits [vocab] after prompt `index`. */
  wanted(index: number): Float32Array;
  readonly session: OrtSession;
  /** Logits [vocab] after `prompt`, computed `chunk` tokens at a time. */
  prefill(slot: number, prompt: readonly number[], chunk: number): Float32Array;
};

export class World {
  readonly #cacheDir: string;
  readonly #ort: Ort;
  readonly #closers: (() => void)[] = [];

  private constructor(cacheDir: string, ort: Ort) {
    this.#cacheDir = cacheDir;
    this.#ort = ort;
  }

  static async make(): Promise<World> {
    const cacheDir = mkdtempSync(join(tmpdir(), 'tdist-arch-'));
    return new World(cacheDir, new Ort(await ortLibraryPath(cacheDir)));
  }

  open(name: string, quantization: Quantization = 'none'): Opened {
    const fixture = join(import.meta.dir, name);
    const golden = v.parse(
      goldenSchema,
      JSON.parse(readFileSync(join(fixture, 'golden.json'), 'utf8')),
    );
    const logits = new Float32Array(
      new Uint8Array(readFileSync(join(fixture, 'logits.f32'))).buffer,
    );
    const model = openModel(this.#folder(fixture), quantization);
    const { config } = model;
    const { layers, kvHeads, headDim, vocabSize } = config;
    const geometry = { layers, kvHeads, headDim, blockTokens: 16 };
    const longest = Math.max(...golden.map((one) => one.input_ids.length));
    const pool = new KvPool(geometry, { slots: 4, capacity: longest + 32 });
    const modelPath = cachedGraph(config, { ...model, cacheDir: this.#cacheDir });
    const options = { modelPath, pool, vocabSize, threads: 1, stepTokens: longest * 2 };
    const session = new OrtSession(this.#ort, options);
    this.#closers.push(() => pool.close());
    this.#closers.push(() => session.close());
    return {
      config,
      golden,
      session,
      wanted: (index) => logits.subarray(index * vocabSize, (index + 1) * vocabSize),
      prefill(slot, prompt, chunk) {
        let after = new Float32Array();
        for (let past = 0; past < prompt.length; past += chunk) {
          const part = prompt.slice(past, past + chunk);
          after = session.prefill({ slot, past, ids: part }).slice(0, vocabSize);
        }
        return after;
      },
    };
  }

  close(): void {
    for (const close of this.#closers.reverse()) close();
    rmSync(this.#cacheDir, { recursive: true });
  }

  /** The fixture with the text files that a model folder must have. */
  #folder(fixture: string): string {
    const folder = mkdtempSync(join(this.#cacheDir, 'model-'));
    for (const file of ['config.json', 'model.safetensors']) {
      copyFileSync(join(fixture, file), join(folder, file));
    }
    for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
      writeFileSync(join(folder, file), '{}');
    }
    return folder;
  }
}

export function argmax(logits: Float32Array): number {
  return logits.reduce((best, value, i) => (value > (logits[best] ?? 0) ? i : best), 0);
}

/** Largest difference; NaN counts as infinite. */
export function distance(found: Float32Array, wanted: Float32Array): number {
  if (found.length !== wanted.length) return Number.POSITIVE_INFINITY;
  return wanted.reduce((worst, value, i) => {
    const difference = Math.abs(value - (found[i] ?? 0));
    return difference <= worst ? worst : Number.isNaN(difference) ? Infinity : difference;
  }, 0);
}
