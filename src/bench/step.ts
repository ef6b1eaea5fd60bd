// What the engine adds to a decode step: the time from one step's tokens to the next's as the main
// thread of a worker sees it, against the bare `Run` of the same batch over the same lengths.

import { KvPool } from '../kv/pool.ts';
import { openModel } from '../model/folder.ts';
import { cachedGraph } from '../model/graph-cache.ts';
import { Ort } from '../model/ort.ts';
import { ortLibraryPath } from '../model/ort-library.ts';
import type { Quantization } from '../model/quantize.ts';
import { OrtSession } from '../model/session.ts';
import type { EngineEvent } from '../protocol/engine.ts';
import { limit } from '../protocol/limit.ts';
import { neutralSampling } from '../protocol/request.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { cacheDir } from '../role/cache-dir.ts';
import { type EngineHandle, startEngine } from '../role/engine-handle.ts';
import type { EngineOptions } from '../role/engine-thread.ts';
import { Fault } from '../std/fault.ts';
import { type Summary, summarize } from './statistics.ts';

const promptTokens = 64;

export type StepFigures = {
  readonly batch: number;
  readonly engineMs: Summary;
  readonly bareMs: Summary;
  /** Median over the rounds of engine / bare, each by its median. */
  readonly ratio: number;
  /** The engine's median of each round. */
  readonly roundsMs: readonly number[];
};

type Round = { readonly engineMs: readonly number[]; readonly bareMs: readonly number[] };

export type StepBench = {
  readonly geometry: Geometry;
  measure(batches: readonly number[]): Promise<StepFigures[]>;
  stop(): Promise<void>;
};

export type StepBenchOptions = {
  /** Largest batch. */
  readonly slots: number;
  readonly modelName: string;
  readonly quantization: Quantization;
  /** Steps of a round; the context grows from 64 tokens by so many. */
  readonly stepCount: number;
  readonly roundCount: number;
};

/** Loads the model twice: in an engine thread, and bare in this one. */
export async function openStepBench(bench: StepBenchOptions): Promise<StepBench> {
  const { slots, stepCount, roundCount } = bench;
  const model = openModel(bench.modelName, bench.quantization);
  const { layers, kvHeads, headDim, vocabSize } = model.config;
  const geometry = { layers, kvHeads, headDim, blockTokens: 64 };
  const modelPath = cachedGraph(model.config, { ...model, cacheDir: cacheDir() });
  const options: EngineOptions = {
    namespace: 'bench',
    workerId: 'bench',
    role: 'baseline',
    device: 'cpu',
    precision: 'float32',
    libraryPath: await ortLibraryPath(cacheDir()),
    modelPath,
    modelDigest: model.modelDigest,
    geometry,
    kvDtype: 'float32',
    vocabSize,
    eosIds: model.config.eosIds,
    ignoreEos: true,
    maxModelLen: 1024,
    slots,
    tokensMax: slots * 1024,
    threads: 1,
    queueCountMax: slots,
    arenaBytes: 0,
    prefixCaching: false,
  };
  const engine = await startEngine(options, (reason) => {
    throw new Fault('engine', reason);
  });
  const pool = new KvPool(geometry, { slots, capacity: options.maxModelLen });
  const session = new OrtSession(new Ort(options.libraryPath), {
    modelPath,
    pool,
    vocabSize,
    threads: 1,
    stepTokens: limit.stepTokens,
  });
  return {
    geometry,
    async measure(batches) {
      const rounds = batches.map(() => [] as Round[]);
      // In turns, so that whatever else the machine does falls on all.
      for (let round = 0; round < roundCount; round++) {
        for (const [i, batch] of batches.entries()) {
          const engineMs = await engineSteps(engine, { batch, round, stepCount });
          rounds[i]?.push({ engineMs, bareMs: bareSteps(session, { batch, stepCount }) });
        }
      }
      return batches.map((batch, i) => stepFigures(batch, rounds[i] ?? []));
    },
    async stop() {
      session.close();
      pool.close();
      await engine.stop();
    },
  };
}

function stepFigures(batch: number, rounds: readonly Round[]): StepFigures {
  const medians = rounds.map(({ engineMs, bareMs }) => ({
    engine: summarize(engineMs).median,
    bare: summarize(bareMs).median,
  }));
  return {
    batch,
    engineMs: summarize(rounds.flatMap((round) => round.engineMs)),
    bareMs: summarize(rounds.flatMap((round) => round.bareMs)),
    ratio: summarize(medians.map(({ engine, bare }) => engine / bare)).median,
    roundsMs: medians.map(({ engine }) => engine),
  };
}

/** Gaps between the steps in which the whole batch decodes. */
async function engineSteps(
  engine: EngineHandle,
  { batch, round, stepCount }: { batch: number; round: number; stepCount: number },
): Promise<number[]> {
  const gaps: number[] = [];
  const done = Promise.withResolvers<void>();
  let running = batch;
  let tokensOfStep = 0;
  let lastMs = 0;
  engine.listen((event: EngineEvent) => {
    if (event.type !== 'tokens') return;
    tokensOfStep++;
    if (event.finish !== null && --running === 0) done.resolve();
    if (tokensOfStep < batch) return;
    tokensOfStep = 0;
    const nowMs = performance.now();
    if (event.first >= 2) gaps.push(nowMs - lastMs);
    lastMs = nowMs;
  });
  for (let i = 0; i < batch; i++) {
    engine.submit({
      type: 'generate',
      requestId: `step-${batch}-${round}-${i}`,
      promptIds: prompt(i),
      sampling: {
        ...neutralSampling,
        temperature: 0,
        seed: 0,
        maxTokens: stepCount,
        ignoreEos: true,
      },
      priority: 0,
      source: 'local',
    });
  }
  await done.promise;
  return gaps.slice(batch); // the first ones still share their steps with prompts
}

function bareSteps(
  session: OrtSession,
  { batch, stepCount }: { batch: number; stepCount: number },
): number[] {
  for (let slot = 0; slot < batch; slot++) session.prefill({ slot, past: 0, ids: prompt(slot) });
  const ids = new Int32Array(batch).fill(100);
  const times: number[] = [];
  for (let step = 0; step < stepCount; step++) {
    const pasts = new Int32Array(batch).fill(promptTokens + step);
    const beganMs = performance.now();
    session.decode({ count: batch, ids, pasts });
    times.push(performance.now() - beganMs);
  }
  return times;
}

function prompt(salt: number): number[] {
  return Array.from({ length: promptTokens }, (_, i) => (i * 37 + salt * 101) % 3000);
}
