// What a gateway says of its workers, as far as a leak would show there.

import * as v from 'valibot';
import { Fault } from '../../std/fault.ts';

const answerMs = 15_000;

const entrySchema = v.object({
  id: v.string(),
  role: v.string(),
  state: v.string(),
  load: v.object({ jobs: v.nullable(v.number()), running: v.number(), waiting: v.number() }),
  kv: v.object({
    blocks: v.nullable(v.object({ held: v.number(), leased: v.number() })),
  }),
});
export type ListedWorker = v.InferOutput<typeof entrySchema>;

const listSchema = v.object({ data: v.array(entrySchema) });

/** Throws where nobody answers, or something else does. */
export async function readWorkers(url: string): Promise<readonly ListedWorker[]> {
  const response = await fetch(`${url}/workers`, { signal: AbortSignal.timeout(answerMs) });
  const read = v.safeParse(listSchema, await response.json());
  if (read.success) return read.output.data;
  throw new Fault('internal', `${url}/workers: ${read.issues[0].message}`);
}

/** What it has although nobody asks for anything; empty for an idle worker. */
export function busyWith({ load, kv }: ListedWorker): string {
  const counts = {
    jobs: load.jobs ?? 0,
    running: load.running,
    waiting: load.waiting,
    held: kv.blocks?.held ?? 0,
    leased: kv.blocks?.leased ?? 0,
  };
  return Object.entries(counts)
    .flatMap(([name, count]) => (count === 0 ? [] : [`${name} ${count}`]))
    .join(', ');
}
