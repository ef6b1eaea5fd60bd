// A gateway's worker routes, read by schema: the address may be anything.

import * as v from 'valibot';
import { keyHeaders } from '../bench/key-headers.ts';
import { Fault, toFault } from '../std/fault.ts';
import { redactUri } from './plane-uri.ts';

/** The gateway may wait for a worker's answer meanwhile. */
const answerTimeoutMs = 15_000;

const entrySchema = v.object({
  id: v.string(),
  role: v.string(),
  model: v.string(),
  state: v.string(),
  safe_to_stop: v.boolean(),
  host: v.string(),
  pid: v.number(),
  build: v.string(),
  load: v.object({
    jobs: v.nullable(v.number()),
    running: v.number(),
    waiting: v.number(),
    /** Absent: an older gateway. */
    paused: v.optional(v.number()),
    slots: v.number(),
  }),
  kv: v.object({
    free_tokens: v.number(),
    blocks: v.nullable(
      v.object({ free: v.number(), held: v.number(), leased: v.number(), cached: v.number() }),
    ),
  }),
  /** Since the worker's start; null until it has told them. */
  counters: v.nullable(v.object({ slot_moves: v.number(), preemptions: v.number() })),
  /** Since the worker's start. Absent: an older gateway; null: an older worker. */
  up_ms: v.nullish(v.number()),
  /** Since the gateway first heard of it. */
  since_ms: v.number(),
  last_heard_ms: v.number(),
});
export type WorkerEntry = v.InferOutput<typeof entrySchema>;

const listSchema = v.object({ data: v.array(entrySchema) });
const errorSchema = v.object({ error: v.object({ message: v.string() }) });

export async function fetchWorkers(url: string): Promise<readonly WorkerEntry[]> {
  return read(listSchema, await ask(`${url}/workers`, 'GET'), url).data;
}

export async function postControl(
  url: string,
  id: string,
  action: 'drain' | 'resume',
): Promise<WorkerEntry> {
  const path = `${url}/workers/${encodeURIComponent(id)}/${action}`;
  return read(entrySchema, await ask(path, 'POST'), url);
}

/** The one worker whose id is, or begins with, `id`. */
export function findWorker(workers: readonly WorkerEntry[], id: string): WorkerEntry {
  const exact = workers.find((worker) => worker.id === id);
  const found = exact === undefined ? workers.filter((one) => one.id.startsWith(id)) : [exact];
  const [worker] = found;
  if (worker !== undefined && found.length === 1) return worker;
  const names = (found.length === 0 ? workers : found).map((one) => one.id).join(', ') || 'none';
  throw new Fault(
    'not_found',
    found.length === 0
      ? `no worker has an id that begins with ${id}; there are: ${names}`
      : `${id} means several workers: ${names}; say more of the id`,
  );
}

async function ask(address: string, method: 'GET' | 'POST'): Promise<unknown> {
  let response: Response;
  let text: string;
  const shown = redactUri(address);
  try {
    const signal = AbortSignal.timeout(answerTimeoutMs);
    response = await fetch(address, { method, signal, headers: keyHeaders(process.env) });
    text = await response.text();
  } catch (cause) {
    const why = toFault(cause).message;
    if (isUntrusted(cause)) {
      throw new Fault(
        'no_worker',
        `${shown} answers with a certificate that is not trusted: ${why}; name a PEM file of who signed it in the environment variable NODE_EXTRA_CA_CERTS`,
        { cause },
      );
    }
    throw new Fault('no_worker', `no gateway answers at ${shown}: ${why}; see --api-url`, {
      cause,
    });
  }
  const body = parse(text);
  if (response.ok) return body;
  const error = v.safeParse(errorSchema, body);
  const why = error.success ? error.output.error.message : 'no gateway of tdist?';
  throw new Fault('no_worker', `${method} ${shown}: ${response.status}: ${why}`);
}

/** Nobody who is trusted has signed it. */
const untrustedCodes: ReadonlySet<unknown> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

function isUntrusted(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && untrustedCodes.has(thrown.code);
}

function read<T>(schema: v.GenericSchema<unknown, T>, body: unknown, url: string): T {
  const parsed = v.safeParse(schema, body);
  if (parsed.success) return parsed.output;
  throw new Fault('no_worker', `what ${redactUri(url)} answers is not a gateway's list of workers`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // named by whoever wanted it to be something
  }
}
