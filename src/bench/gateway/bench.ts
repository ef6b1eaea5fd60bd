// `tdist bench gateway`: what the gateway itself costs, with an engine that computes nothing behind the
// real request plane. Each figure beside the claim it is held to; the last line is one JSON object.

import { availableParallelism, cpus, loadavg } from 'node:os';
import { Fault } from '../../std/fault.ts';
import { type Claim, claimLine, isMet, summaryRow, tableHead } from '../engine/section.ts';
import { figure, summarize, table } from '../statistics.ts';
import {
  longPrompts,
  measureOverhead,
  measureRequests,
  measureStreams,
  type Streams,
} from './measure.ts';
import { openStage, type Stage } from './stage.ts';
import { runEchoWorker } from './worker.ts';

const roundCount = 3;
const longPromptBytes = 100_000;
const paceMs = 20;

export const gatewayBenchHelp = `tdist bench gateway

Measures the gateway alone, on one core where taskset is there: overhead of a short request, CPU time of a
streamed token, requests and tokens a second, memory under 500 streams, and what prompts of 100 KB do to the
streams beside them. An engine that computes nothing answers over a real nats-server.`;

export async function runGatewayBench(
  argv: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  const [word, uri] = argv;
  if (word === '--help') {
    print(gatewayBenchHelp);
    return 0;
  }
  if (word === '--worker' && uri !== undefined) return await runEchoWorker(uri);
  if (word !== undefined)
    throw new Fault('usage', `bench gateway takes no ${word}; see its --help`);
  await using stage = await openStage();
  const busy = (loadavg()[0] ?? 0).toFixed(1);
  const machine = `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown CPU'}`;
  const where = stage.isPinned ? 'the gateway on one core' : 'the gateway on all cores';
  print(`${machine}, Bun ${Bun.version}, ${where}, load average before the start: ${busy}\n`);
  const found = await measureAll(stage);
  const claims = claimsOf(found);
  print(`${table([tableHead, ...rowsOf(found)])}\n`);
  for (const claim of claims) print(claimLine(claim));
  print(`${claims.filter(isMet).length} of ${claims.length} claims met`);
  const met = claims.map((claim) => ({ ...claim, met: isMet(claim) }));
  print(JSON.stringify({ machine, isPinned: stage.isPinned, claims: met, figures: found }));
  return 0;
}

async function measureAll(stage: Stage) {
  // Code runs several times slower before it has run often.
  await measureRequests(stage, { connections: 16, durationMs: 1500 });
  await measureStreams(stage, { streams: 32, tokens: 200, paceMs: 0 });
  const overheadMs = await measureOverhead(stage, 400);
  const requests = await rounds(() =>
    measureRequests(stage, { connections: 32, durationMs: 1500 }),
  );
  const flood = await rounds(() => measureStreams(stage, { streams: 64, tokens: 500, paceMs: 0 }));
  const paced = await rounds(() => measureStreams(stage, { streams: 100, tokens: 100, paceMs }));
  const manyLoad = { streams: 500, tokens: 100, paceMs: 60 };
  const many = await measureStreams(stage, manyLoad);
  // Garbage comes and goes; what grows shows in the peaks of one round after another.
  const peaks = [many.peakBytes];
  for (let round = 1; round < roundCount; round++) {
    peaks.push((await measureStreams(stage, manyLoad)).peakBytes);
  }
  const few = { streams: 20, tokens: 100, paceMs };
  await measureStreams(stage, few, longPrompts(stage, longPromptBytes));
  const calm: number[] = [];
  const disturbed: number[] = [];
  for (let round = 0; round < roundCount; round++) {
    calm.push(late(await measureStreams(stage, few)));
    disturbed.push(late(await measureStreams(stage, few, longPrompts(stage, longPromptBytes))));
  }
  return {
    overheadMs: summarize(overheadMs),
    requestsPerS: summarize(requests.map(({ perS }) => perS)),
    requestCpuUs: summarize(requests.map(({ cpuUs }) => cpuUs)),
    tokensPerS: summarize(flood.map(({ perS }) => perS)),
    floodCpuUs: summarize(flood.map(({ cpuUs }) => cpuUs)),
    pacedCpuUs: summarize(paced.map(({ cpuUs }) => cpuUs)),
    manyMiB: many.residentBytes.map((bytes) => bytes / 2 ** 20),
    manyPeakMiB: peaks.map((bytes) => bytes / 2 ** 20),
    calmMs: summarize(calm),
    disturbedMs: summarize(disturbed),
  };
}

/** The 99th percentile of how late a token came, milliseconds. */
function late({ gapsMs }: Streams): number {
  const sorted = gapsMs.map((ms) => ms - paceMs).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN;
}

type Found = Awaited<ReturnType<typeof measureAll>>;

function rowsOf(found: Found): string[][] {
  const single = (name: string, value: number | undefined, unit: string): string[] => [
    name,
    figure(value ?? Number.NaN),
    '',
    unit,
    '1',
  ];
  return [
    summaryRow('a short request, one after another', 'ms', found.overheadMs),
    summaryRow('short requests, 32 connections', '/s', found.requestsPerS),
    summaryRow('CPU of a short request', 'µs', found.requestCpuUs),
    summaryRow('streamed tokens, 64 streams at once', '/s', found.tokensPerS),
    summaryRow('CPU of such a token', 'µs', found.floodCpuUs),
    summaryRow(`CPU of a token, 100 streams each ${paceMs} ms`, 'µs', found.pacedCpuUs),
    single('memory when 500 streams ran', found.manyMiB[0], 'MiB'),
    single('memory at their end', found.manyMiB[1], 'MiB'),
    ...found.manyPeakMiB.map((peakMiB, round) =>
      single(`highest memory, round ${round + 1} of such streams`, peakMiB, 'MiB'),
    ),
    summaryRow('p99 a token came late, 20 streams', 'ms', found.calmMs),
    summaryRow('… while prompts of 100 KB arrive', 'ms', found.disturbedMs),
  ];
}

function claimsOf({ manyMiB, manyPeakMiB, ...found }: Found): readonly Claim[] {
  const [before = 0, after = 0] = manyMiB;
  const [, secondPeak = 0, thirdPeak = 0] = manyPeakMiB;
  const most = (name: string, value: number, wanted: number): Claim => ({
    name,
    found: value,
    wanted,
    at: 'most',
  });
  const least = (name: string, value: number, wanted: number): Claim => ({
    ...most(name, value, wanted),
    at: 'least',
  });
  return [
    most('ms of a short request', found.overheadMs.median, 1),
    most('µs of CPU of a streamed token', found.floodCpuUs.median, 25),
    least('short requests a second', found.requestsPerS.median, 1500),
    least('streamed tokens a second', found.tokensPerS.median, 40_000),
    most('MiB that 500 streams grow by', after - before, 16),
    most(
      'MiB that the third round of them adds to the peak of the second',
      thirdPeak - secondPeak,
      16,
    ),
    most(
      'ms that 100 KB prompts make other tokens late',
      found.disturbedMs.median - found.calmMs.median,
      5,
    ),
  ];
}

async function rounds<T>(measure: () => Promise<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for (let round = 0; round < roundCount; round++) all.push(await measure());
  return all;
}
