// The models that the engine is measured with, and one loaded without an engine around it.

import { KvPool } from '../../kv/pool.ts';
import { openModel } from '../../model/folder.ts';
import { cachedGraph } from '../../model/graph-cache.ts';
import { Ort } from '../../model/ort.ts';
import { ortLibraryPath } from '../../model/ort-library.ts';
import type { Quantization } from '../../model/quantize.ts';
import { OrtSession } from '../../model/session.ts';
import { limit } from '../../protocol/limit.ts';
import type { Geometry } from '../../protocol/ticket.ts';
import { cacheDir } from '../../role/cache-dir.ts';
import { randomModel, smolLm135M } from '../random-model.ts';

export type BenchModel = {
  /** In tables. */
  readonly label: string;
  /** `--model-name`. */
  readonly modelName: string;
  readonly quantization: Quantization;
};

const seed = 1;

export const demoModel: BenchModel = {
  label: 'demo 6.4M',
  modelName: 'tdist/demo',
  quantization: 'none',
};

/** Random weights at SmolLM2-135M's dimensions; written to the cache folder at the first use. */
export async function randomBenchModel(quantization: Quantization): Promise<BenchModel> {
  const kind = quantization === 'none' ? 'f32' : quantization;
  return {
    label: `135M ${kind}`,
    modelName: await randomModel(smolLm135M, { cacheDir: cacheDir(), seed }),
    quantization,
  };
}

export type BareModel = {
  readonly geometry: Geometry;
  readonly pool: KvPool;
  readonly session: OrtSession;
  readonly modelDigest: string;
  close(): void;
};

/** One thread, `slots` slots of `capacity` tokens. */
export async function openBare(
  { modelName, quantization }: BenchModel,
  size: { slots: number; capacity: number },
): Promise<BareModel> {
  const model = openModel(modelName, quantization);
  const { layers, kvHeads, headDim, vocabSize } = model.config;
  const geometry = { layers, kvHeads, headDim, blockTokens: 64 };
  const pool = new KvPool(geometry, size);
  const session = new OrtSession(new Ort(await ortLibraryPath(cacheDir())), {
    modelPath: cachedGraph(model.config, { ...model, cacheDir: cacheDir() }),
    pool,
    vocabSize,
    threads: 1,
    stepTokens: limit.stepTokens,
  });
  const close = (): void => {
    session.close();
    pool.close();
  };
  return { geometry, pool, session, modelDigest: model.modelDigest, close };
}
