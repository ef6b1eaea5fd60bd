// The measurements of the gateway's benchmark, one function each. All loads are short: the whole takes
// less than a minute.

import { Fault } from '../../std/fault.ts';
import { Connection, type Timed } from './client.ts';
import type { Stage } from './stage.ts';

/** How often the gateway's memory is looked at. */
const lookMs = 100;
const question = 'What is the capital of France?';

async function openAll(stage: Stage, count: number): Promise<readonly Connection[]> {
  return await Promise.all(Array.from({ length: count }, () => Connection.open(stage.url)));
}

/** One after another on one connection: milliseconds each, worker, plane and client included. */
export async function measureOverhead(stage: Stage, count: number): Promise<readonly number[]> {
  const [connection] = await openAll(stage, 1);
  const times: number[] = [];
  for (let i = 0; i < count && connection !== undefined; i++) {
    const { beganMs, endMs } = await connection.ask({
      prompt: question,
      maxTokens: 1,
      stream: false,
      paceMs: 0,
    });
    times.push(endMs - beganMs);
  }
  connection?.close();
  return times;
}

export type Rate = {
  readonly perS: number;
  /** Of the gateway, for one. */
  readonly cpuUs: number;
};

/** Short requests from so many connections at once. */
export async function measureRequests(
  stage: Stage,
  { connections, durationMs }: { readonly connections: number; readonly durationMs: number },
): Promise<Rate> {
  const all = await openAll(stage, connections);
  let count = 0;
  const cpuMs = stage.cpuMs();
  const beganMs = performance.now();
  await Promise.all(
    all.map(async (connection) => {
      while (performance.now() - beganMs < durationMs) {
        await connection.ask({ prompt: question, maxTokens: 1, stream: false, paceMs: 0 });
        count++;
      }
    }),
  );
  const rate = rateOf(stage, { count, beganMs, cpuMs });
  for (const connection of all) connection.close();
  return rate;
}

export type Streams = Rate & {
  /** Between the tokens of a stream, milliseconds. */
  readonly gapsMs: readonly number[];
  /** The gateway's memory when all streams ran, and at their end. */
  readonly residentBytes: readonly [number, number];
  /** … and the most there was in between, as far as looked at. */
  readonly peakBytes: number;
};

/** So many streams at once. `during` runs beside them from the moment that all have begun. */
export async function measureStreams(
  stage: Stage,
  load: { readonly streams: number; readonly tokens: number; readonly paceMs: number },
  during: (isOver: () => boolean) => Promise<void> = async () => undefined,
): Promise<Streams> {
  const all = await openAll(stage, load.streams);
  const cpuMs = stage.cpuMs();
  const beganMs = performance.now();
  let isOver = false;
  const answers = all.map((connection) =>
    connection.ask({
      prompt: question,
      maxTokens: load.tokens,
      stream: true,
      paceMs: load.paceMs,
    }),
  );
  const beside = Bun.sleep(load.paceMs * Math.min(20, load.tokens / 4)).then(async () => {
    const bytes = stage.residentBytes();
    await during(() => isOver);
    return bytes;
  });
  let peakBytes = 0;
  const look = (): void => {
    peakBytes = Math.max(peakBytes, stage.residentBytes());
  };
  const looking = setInterval(look, lookMs);
  const timed = await Promise.all(answers).finally(() => clearInterval(looking));
  look();
  const wrong = timed.find(({ eventsMs }) => eventsMs.length !== load.tokens);
  if (wrong !== undefined) {
    const text = `${wrong.eventsMs.length} events came, wanted ${load.tokens}, one for each token`;
    throw new Fault('internal', text);
  }
  isOver = true;
  const count = load.streams * load.tokens;
  const rate = rateOf(stage, { count, beganMs, cpuMs });
  const early = await beside;
  for (const connection of all) connection.close();
  return {
    ...rate,
    gapsMs: timed.flatMap(gapsOf),
    residentBytes: [early, stage.residentBytes()],
    peakBytes,
  };
}

/** Prompts of so many bytes, one after another with a pause, until the streams beside are over. */
export function longPrompts(stage: Stage, bytes: number) {
  return async (isOver: () => boolean): Promise<void> => {
    const [connection] = await openAll(stage, 1);
    const words = question.repeat(Math.ceil(bytes / question.length)).slice(0, bytes);
    while (!isOver() && connection !== undefined) {
      await connection.ask({ prompt: words, maxTokens: 1, stream: false, paceMs: 0 });
      await Bun.sleep(100);
    }
    connection?.close();
  };
}

function gapsOf({ eventsMs }: Timed): number[] {
  return eventsMs.slice(1).map((atMs, index) => atMs - (eventsMs[index] ?? atMs));
}

function rateOf(
  stage: Stage,
  { count, beganMs, cpuMs }: { readonly count: number; beganMs: number; cpuMs: number },
): Rate {
  const perS = (count * 1000) / (performance.now() - beganMs);
  return { perS, cpuUs: ((stage.cpuMs() - cpuMs) * 1000) / count };
}
