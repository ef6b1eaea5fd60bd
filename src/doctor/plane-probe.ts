// Asks a request plane what the checks want to know, over the Bus port: our own message back, JetStream's
// account, the server's time, and who says that it is alive. Leaves nothing behind.
//
// Time: `$SYS.REQ.USER.INFO` tells it (NATS 2.10 and newer). Older servers write it into the answer to a
// new stream, so one is made in memory for a moment, which proves the right to make streams, too.

import * as v from 'valibot';
import type { Bus } from '../plane/bus.ts';
import { decode, encode } from '../plane/codec.ts';
import { limit } from '../protocol/limit.ts';
import { type Heartbeat, heartbeatSchema, protocolVersion } from '../protocol/message.ts';
import { subjects as subjectsOf } from '../protocol/subject.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { JetStreamFacts, PlaneAnswers } from './plane-check.ts';
import type { Heard } from './worker-check.ts';

export type ProbePorts = {
  readonly bus: Bus;
  readonly clock: Clock;
  /** Milliseconds since 1970 by this machine's clock. */
  readonly epochMs: () => number;
  readonly namespace: string;
  /** Letters and digits, new each time: names what is made for a moment. */
  readonly id: string;
};

const answerMs = 2000;
/** A worker answers `who` at once and speaks each `limit.heartbeatMs`: two and a half of these. */
const watchMs = 2.5 * limit.heartbeatMs;

const bytesLimit = v.optional(v.number(), -1);
const accountSchema = v.looseObject({
  error: v.optional(v.looseObject({ description: v.optional(v.string(), 'no reason given') })),
  memory: v.optional(v.number(), 0),
  storage: v.optional(v.number(), 0),
  limits: v.optional(v.looseObject({ max_memory: bytesLimit, max_storage: bytesLimit }), {}),
});
const createdSchema = v.looseObject({ created: v.string() });
const userInfoSchema = v.looseObject({ server: v.looseObject({ time: v.string() }) });

/** As a bus says it that has not heard of anybody yet. */
const connecting = /: connecting$/;

/** Null when the bus has connected, else why it has not within the time. */
export function connectionTrouble(
  { bus, clock }: ProbePorts,
  limitMs: number,
): Promise<string | null> {
  return new Promise((resolve) => {
    const timer = clock.after(limitMs, () =>
      resolve(bus.trouble()?.replace(connecting, `: no answer within ${limitMs / 1000} s`) ?? null),
    );
    const look = (trouble: string | null): void => {
      if (trouble !== null && connecting.test(trouble)) return;
      timer.cancel();
      resolve(trouble);
    };
    bus.onTrouble(look);
    look(bus.trouble());
  });
}

export async function askPlane(ports: ProbePorts): Promise<PlaneAnswers> {
  const roundTripMs = await roundTrip(ports);
  const account = await accountOf(ports);
  const told = await userInfoTime(ports);
  const made = account.state === 'on' ? await makeStream(ports) : null;
  const jetStream: JetStreamFacts =
    account.state === 'on' ? { ...account, denied: made?.denied ?? null } : account;
  return {
    maxPayloadBytes: ports.bus.maxPayloadBytes,
    roundTripMs,
    jetStream,
    skew: told ?? made?.skew ?? null,
  };
}

async function roundTrip({ bus, clock, namespace, id }: ProbePorts): Promise<number | null> {
  const subject = subjectsOf(namespace).tokens('doctor', id);
  const back = Promise.withResolvers<number | null>();
  const beginMs = clock.nowMs();
  const subscription = bus.subscribe(subject, () => back.resolve(clock.nowMs() - beginMs));
  const timer = clock.after(answerMs, () => back.resolve(null));
  try {
    await bus.flush();
    const sentMs = clock.nowMs();
    bus.publish(subject, encode({ v: protocolVersion }));
    const ms = await back.promise;
    return ms === null ? null : ms - (sentMs - beginMs);
  } catch {
    return null; // the connection ended meanwhile: nothing came back
  } finally {
    timer.cancel();
    await subscription.stop();
  }
}

async function accountOf(ports: ProbePorts): Promise<JetStreamFacts> {
  try {
    const account = await ask(ports, '$JS.API.INFO', {}, accountSchema);
    if (account.error !== undefined) return { state: 'off', why: account.error.description };
    const { limits } = account;
    const left = (most: number, used: number): number | null =>
      most < 0 ? null : Math.max(0, most - used);
    return {
      state: 'on',
      memoryLeft: left(limits.max_memory ?? -1, account.memory),
      storageLeft: left(limits.max_storage ?? -1, account.storage),
      denied: null,
    };
  } catch (thrown) {
    const fault = toFault(thrown);
    return { state: 'off', why: fault.code === 'no_worker' ? 'not enabled' : fault.message };
  }
}

type Skew = NonNullable<PlaneAnswers['skew']>;

async function userInfoTime(ports: ProbePorts): Promise<Skew | null> {
  const subject = '$SYS.REQ.USER.INFO';
  try {
    const { value, skewOf } = await timed(ports, () => ask(ports, subject, {}, userInfoSchema));
    return skewOf(value.server.time, subject);
  } catch {
    return null; // a server before 2.10, or one that does not let us
  }
}

async function makeStream(
  ports: ProbePorts,
): Promise<{ readonly skew: Skew | null; readonly denied: string | null }> {
  const name = `tdist-doctor-${ports.id}`;
  const config = {
    name,
    subjects: [`${ports.namespace}.doctor.${ports.id}`],
    storage: 'memory',
    retention: 'limits',
    discard: 'old',
    num_replicas: 1,
    max_msgs: 1,
    max_bytes: 1024,
    max_consumers: -1,
    max_age: 60_000_000_000, // ns
  };
  const api = (verb: string): string => `$JS.API.STREAM.${verb}.${name}`;
  try {
    const schema = v.union([createdSchema, accountSchema]);
    const make = () => ask(ports, api('CREATE'), config, schema);
    const { value, skewOf } = await timed(ports, make);
    if (!('created' in value) || typeof value.created !== 'string') {
      return { skew: null, denied: refusalOf(value) };
    }
    await ask(ports, api('DELETE'), {}, v.unknown());
    return { skew: skewOf(value.created, 'a stream made for a moment'), denied: null };
  } catch (thrown) {
    return { skew: null, denied: toFault(thrown).message };
  }
}

function refusalOf(answer: v.InferOutput<typeof accountSchema> | { created: string }): string {
  return 'error' in answer && v.is(accountSchema, answer)
    ? (answer.error?.description ?? 'no reason given')
    : 'no reason given';
}

/** Runs `work` and reads a time of the server's as told in the middle of it. */
async function timed<T>({ epochMs }: ProbePorts, work: () => Promise<T>) {
  const beginMs = epochMs();
  const value = await work();
  const endMs = epochMs();
  const skewOf = (time: string, how: string): Skew | null => {
    const ms = Date.parse(time) - (beginMs + endMs) / 2;
    return Number.isFinite(ms) ? { ms, uncertainMs: (endMs - beginMs) / 2, how } : null;
  };
  return { value, skewOf };
}

async function ask<T>(
  { bus }: ProbePorts,
  subject: string,
  message: object,
  schema: v.GenericSchema<unknown, T>,
): Promise<T> {
  const bytes = await bus.request(subject, encode(message), { timeoutMs: answerMs });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new Fault('plane', `${subject} answers something that is no JSON`, { cause });
  }
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  throw new Fault('plane', `${subject} answers in a form of its own`);
}

/** Listens for workers. Takes `watchMs`. */
export async function watchWorkers({ bus, clock, namespace }: ProbePorts): Promise<Heard> {
  const subjects = subjectsOf(namespace);
  const heard = new Map<string, { heartbeat: Heartbeat; atMs: number }>();
  const unreadable = new Map<string, string>();
  const subscription = bus.subscribe(subjects.heartbeats, (payload, subject) => {
    try {
      const heartbeat = decode(heartbeatSchema, payload, 'heartbeat');
      heard.set(heartbeat.worker, { heartbeat, atMs: clock.nowMs() });
    } catch (thrown) {
      unreadable.set(subject, toFault(thrown).message);
    }
  });
  try {
    await bus.flush();
    bus.publish(subjects.who, encode({ v: protocolVersion, type: 'who' }));
    await new Promise<void>((resolve) => clock.after(watchMs, resolve));
  } catch {
    // the connection ended meanwhile: what was heard counts
  } finally {
    await subscription.stop();
  }
  const nowMs = clock.nowMs();
  return {
    workers: [...heard.values()]
      .filter(({ heartbeat }) => heartbeat.state !== 'gone')
      .map(({ heartbeat, atMs }) => ({ heartbeat, silentMs: nowMs - atMs })),
    unreadable: [...unreadable].map(([subject, why]) => `${subject}: ${why}`),
  };
}
