// The graph of a worker's model, built by threads of this process where no worker of the host has built
// it, with word of how far it is.

import { availableParallelism } from 'node:os';
import type { Model } from '../model/folder.ts';
import { builtGraph } from '../model/graph-cache.ts';
import type { Precision } from '../model/onnx/graph.ts';
import { realClock } from '../std/clock.ts';
import type { Log } from '../telemetry/log.ts';
import { createProgress } from './progress.ts';
import { openWeightCrew } from './weight-crew.ts';

/** Path of the model file. Throws a Fault `config`, or the signal's reason. */
export async function graphOf(
  model: Model,
  options: {
    cacheDir: string;
    threadCount: number | null;
    log: Log;
    precision?: Precision;
    signal?: AbortSignal;
  },
): Promise<string> {
  const { cacheDir, threadCount, log, signal, precision = 'float32' } = options;
  const clock = realClock;
  const { stderr } = process;
  const draw = stderr.isTTY ? (text: string) => void stderr.write(text) : null;
  const progress = createProgress('Building the graph', { clock, log, draw });
  const beginMs = clock.nowMs();
  let written = 0;
  try {
    const path = await builtGraph(
      model.config,
      {
        modelDigest: model.modelDigest,
        quantization: model.quantization,
        precision,
        cacheDir,
        weights: model.weights,
        foreign: model.foreign,
      },
      {
        clock,
        openCrew: (path) => openWeightCrew(threadCount ?? availableParallelism(), path),
        onProgress(bytes, total) {
          progress.report(bytes, total);
          written = bytes;
        },
        ...(signal === undefined ? {} : { signal }),
        onWait: () => log.info('Waiting for another worker that builds the same graph'),
      },
    );
    progress.end();
    const tookS = Number(((clock.nowMs() - beginMs) / 1000).toFixed(1));
    if (written > 0) log.info('Graph built', { mib: Math.round(written / 2 ** 20), tookS });
    return path;
  } catch (thrown) {
    progress.end();
    throw thrown;
  }
}
