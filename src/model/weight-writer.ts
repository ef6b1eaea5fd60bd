// Fills a graph's data file, recipe by recipe and each in pieces: what is in memory at a time is one
// tensor of the checkpoint (mapped) and a piece for each thread. On one thread, or by a crew of them; the
// bytes are the same.

import { writeSync } from 'node:fs';
import type { Placed } from './onnx/graph.ts';
import { make, type Recipe, readBy, unitsOf } from './recipe.ts';
import { dropPages } from './span.ts';

/** Bytes of float32 that one piece is made from, about. */
const pieceBytes = 8 * 2 ** 20;
/** To turn a matrix all its rows are read for each piece: fewer and larger ones. */
const turnedBytes = 32 * 2 ** 20;

/** One piece: plain data. */
export type Job = {
  readonly recipe: Recipe;
  readonly begin: number;
  readonly end: number;
  /** Where each output of the whole recipe begins in the file. */
  readonly offsets: readonly number[];
};

/** Threads that do jobs. */
export type Crew = {
  readonly size: number;
  /** Fails with the Fault that the job fails with. */
  run(job: Job): Promise<void>;
};

/** Called with the bytes written so far. */
export type Progress = (bytes: number) => void;

export function runJob({ recipe, begin, end, offsets }: Job, fd: number): void {
  const { bytes } = unitsOf(recipe);
  for (const [index, output] of make(recipe, begin, end).entries()) {
    writeAll(fd, output, (offsets[index] ?? 0) + begin * (bytes[index] ?? 0));
  }
}

/** On this thread. Throws a Fault where the checkpoint has what is no number. */
export function writeWeights(placed: readonly Placed[], fd: number): void {
  for (const one of placed) {
    for (const job of jobsOf(one)) runJob(job, fd);
    dropPages(readBy(one.recipe));
  }
}

/** By the crew, as many pieces at once as it has threads. The first failure ends it. */
export async function writeTogether(
  placed: readonly Placed[],
  crew: Crew,
  onProgress: Progress,
): Promise<void> {
  const queue = jobsInOrder(placed);
  let written = 0;
  const work = async (): Promise<void> => {
    // Who fails leaves the loop, which ends the queue for all.
    for (const { job, left } of queue) {
      await crew.run(job);
      const { bytes } = unitsOf(job.recipe);
      written += (job.end - job.begin) * bytes.reduce((a, b) => a + b, 0);
      left.count--;
      if (left.count === 0) dropPages(readBy(job.recipe));
      onProgress(written);
    }
  };
  await Promise.all(Array.from({ length: crew.size }, work));
}

/** `left`: of the job's recipe, how many are not done. */
function* jobsInOrder(placed: readonly Placed[]): Generator<{ job: Job; left: { count: number } }> {
  for (const one of placed) {
    const jobs = jobsOf(one);
    const left = { count: jobs.length };
    for (const job of jobs) yield { job, left };
  }
}

function jobsOf({ recipe, offsets }: Placed): readonly Job[] {
  const { units, bytes } = unitsOf(recipe);
  const perUnit = recipe.kind === 'packed' ? (recipe.parts[0]?.columns ?? 1) * 4 : (bytes[0] ?? 1);
  const budget = recipe.kind === 'turned' ? turnedBytes : pieceBytes;
  // Eight rows share a word in some formats: pieces of whole words, where they are not single rows.
  const fit = Math.floor(budget / Math.max(1, perUnit));
  const step = fit >= 8 ? fit - (fit % 8) : Math.max(1, fit);
  const jobs: Job[] = [];
  for (let begin = 0; begin < units; begin += step) {
    jobs.push({ recipe, offsets, begin, end: Math.min(units, begin + step) });
  }
  return jobs;
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.byteLength; ) {
    at += writeSync(fd, bytes, at, bytes.byteLength - at, position + at);
  }
}
