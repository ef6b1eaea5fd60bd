// The tiny model on the real thing: graph built, library opened, sessions over pools of their own.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvPool } from '../../src/kv/pool.ts';
import { demoName } from '../../src/model/demo.ts';
import { type Model, openModel } from '../../src/model/folder.ts';
import { cachedGraph } from '../../src/model/graph-cache.ts';
import { Ort } from '../../src/model/ort.ts';
import { ortLibraryPath } from '../../src/model/ort-library.ts';
import { OrtSession } from '../../src/model/session.ts';
import { writeTinyModel } from './tiny-llama.ts';

export class TinyModel {
  readonly model: Model;
  readonly graphPath: string;
  readonly #folder: string | null;
  readonly #cacheDir: string;
  readonly #ort: Ort;
  readonly #open: { session: OrtSession; pool: KvPool }[] = [];

  /** @param folder null: the built-in model. */
  private constructor(folder: string | null, cacheDir: string, ort: Ort) {
    this.#folder = folder;
    this.#cacheDir = cacheDir;
    this.#ort = ort;
    this.model = openModel(folder ?? demoName);
    this.graphPath = cachedGraph(this.model.config, { ...this.model, cacheDir });
  }

  static async make(seed: number): Promise<TinyModel> {
    const cacheDir = mkdtempSync(join(tmpdir(), 'tdist-cache-'));
    const ort = new Ort(await ortLibraryPath(cacheDir));
    return new TinyModel(writeTinyModel(seed), cacheDir, ort);
  }

  /** The built-in model in the tiny one's place. */
  static async demo(): Promise<TinyModel> {
    const cacheDir = mkdtempSync(join(tmpdir(), 'tdist-cache-'));
    const ort = new Ort(await ortLibraryPath(cacheDir));
    return new TinyModel(null, cacheDir, ort);
  }

  session(options: { slots: number; capacity: number; stepTokens: number; blockTokens: number }) {
    const { slots, capacity, stepTokens, blockTokens } = options;
    const { layers, kvHeads, headDim, vocabSize } = this.model.config;
    const pool = new KvPool({ layers, kvHeads, headDim, blockTokens }, { slots, capacity });
    const modelPath = this.graphPath;
    const session = new OrtSession(this.#ort, {
      modelPath,
      pool,
      vocabSize,
      threads: 1,
      stepTokens,
    });
    const opened = { session, pool };
    this.#open.push(opened);
    return opened;
  }

  close(): void {
    for (const { session, pool } of this.#open) {
      session.close();
      pool.close();
    }
    if (this.#folder !== null) rmSync(this.#folder, { recursive: true });
    rmSync(this.#cacheDir, { recursive: true });
  }
}
