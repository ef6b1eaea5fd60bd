// Where object stores are tested: a body of the port with a way to damage what it holds, to silence it,
// and to see what has been left behind. The real one looks and damages through the stock client.

import { connect, type JetStreamManager, type NatsConnection } from 'nats';
import { MemoryObjectHub } from '../../src/plane/memory-object.ts';
import { openNatsObjectStore } from '../../src/plane/nats-object.ts';
import type { BucketOptions, ObjectInfo, ObjectStore } from '../../src/plane/object-store.ts';
import type { NatsServer } from '../../src/plane/server.ts';
import { realClock } from '../../src/std/clock.ts';
import { Fault } from '../../src/std/fault.ts';
import { realChance } from '../../src/std/prng.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { startTestNats, temporaryFolder } from './nats-world.ts';

export type Damage = 'lose' | 'truncate' | 'corrupt';

export type ObjectWorld = {
  readonly name: string;
  start(): Promise<void>;
  open(): ObjectStore;
  damage(how: Damage, bucket: string, info: ObjectInfo): Promise<void>;
  /** From now on nobody answers, until `speak`. */
  silence(): void;
  speak(): void;
  /** Consumers, and chunks that no meta message tells of. */
  leftovers(bucket: string): Promise<readonly string[]>;
  end(): Promise<void>;
};

export function memoryObjectWorld(): ObjectWorld {
  const hub = new MemoryObjectHub({ clock: realClock, chance: realChance });
  return {
    name: 'memory',
    start: async () => undefined,
    open: () => hub.open(),
    damage: async (how, bucket, info) => hub[how](bucket, info.name),
    silence: () => {
      hub.isSilent = true;
    },
    speak: () => {
      hub.isSilent = false;
    },
    leftovers: async () => [],
    end: async () => undefined,
  };
}

export function natsObjectWorld(): ObjectWorld & {
  readonly server: () => NatsServer;
  readonly stock: () => NatsConnection;
} {
  const folder = temporaryFolder();
  let server: NatsServer | null = null;
  let stock: NatsConnection | null = null;
  const theServer = () => server ?? fail('not started');
  const theStock = () => stock ?? fail('not started');
  return {
    name: 'nats',
    server: theServer,
    stock: theStock,
    async start() {
      server = await startTestNats(folder.path);
      stock = await connect({ servers: server.uri });
    },
    open: () => openNatsObjectStore({ uris: [theServer().uri], name: 'test', log: silentLog }),
    async damage(how, bucket, info) {
      await damageStream(await theStock().jetstreamManager(), how, { bucket, nuid: info.nuid });
    },
    silence: () => process.kill(theServer().pid, 'SIGSTOP'),
    speak: () => process.kill(theServer().pid, 'SIGCONT'),
    leftovers: async (bucket) => await leftInStream(await theStock().jetstreamManager(), bucket),
    async end() {
      await stock?.close();
      await server?.stop();
      folder.remove();
    },
  };
}

async function damageStream(
  manager: JetStreamManager,
  how: Damage,
  { bucket, nuid }: { readonly bucket: string; readonly nuid: string },
): Promise<void> {
  const [stream, subject] = [`OBJ_${bucket}`, `$O.${bucket}.C.${nuid}`];
  if (how === 'lose') {
    await manager.streams.purge(stream, { filter: subject });
    return;
  }
  const last = await manager.streams.getMessage(stream, { last_by_subj: subject });
  await manager.streams.deleteMessage(stream, last.seq);
  if (how === 'truncate') return;
  const data = Uint8Array.from(last.data);
  data[0] = (data[0] ?? 0) ^ 1;
  await manager.jetstream().publish(subject, data);
}

async function leftInStream(manager: JetStreamManager, bucket: string): Promise<string[]> {
  const stream = `OBJ_${bucket}`;
  const left: string[] = [];
  for await (const consumer of manager.consumers.list(stream))
    left.push(`consumer ${consumer.name}`);
  const { state } = await manager.streams.info(stream, { subjects_filter: '>' });
  const subjects = Object.keys(state.subjects ?? {});
  const known = new Set<string>();
  for (const subject of subjects.filter((one) => one.startsWith(`$O.${bucket}.M.`))) {
    const meta = await manager.streams.getMessage(stream, { last_by_subj: subject });
    known.add(`$O.${bucket}.C.${meta.json<{ nuid: string }>().nuid}`);
  }
  const chunks = subjects.filter((subject) => subject.startsWith(`$O.${bucket}.C.`));
  return [...left, ...chunks.filter((subject) => !known.has(subject))];
}

let bucketCount = 0;

/** A bucket of its own for each test. */
export function bucketOptions(options: Partial<BucketOptions> = {}): BucketOptions {
  return {
    name: `test-${process.pid}-${bucketCount++}`,
    description: 'a test',
    storage: 'memory',
    bytesMax: 64 * 1024 * 1024,
    ttlMs: 600_000,
    replicaCount: 1,
    ...options,
  };
}

/** Bytes that differ from chunk to chunk. */
export function bytesOf(count: number, salt = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count);
  for (let i = 0; i < count; i++) bytes[i] = (i >>> 8) * 7 + i * 31 + salt;
  return bytes;
}

export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

/** Asks again and again, letting everything else go on in between. */
export async function until(
  holds: () => Promise<boolean>,
  what: string,
  limitMs = 15_000,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`waited too long until ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export async function reasonOf(work: Promise<unknown>): Promise<string> {
  const thrown = await work.then(
    () => 'no failure',
    (error: unknown) => error,
  );
  if (thrown instanceof Fault) return thrown.reason ?? `${thrown.code} without a reason`;
  throw new Error(`wanted a Fault, found ${String(thrown)}`);
}

function fail(message: string): never {
  throw new Error(message);
}
