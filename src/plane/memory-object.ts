// The object store within one process, for tests and the simulation: the semantics of
// plane/nats-object.ts without a server. Buckets live in a hub, which plays the server; faults are
// injected into it. Every call ends in a microtask of its own at the earliest, as if it had travelled.

import type { Clock } from '../std/clock.ts';
import { sha256 } from '../std/hash.ts';
import type { Chance } from '../std/prng.ts';
import { CallScope, flaw } from './call-scope.ts';
import { base64Url, bucketLayout, chunkBytesWanted } from './object-layout.ts';
import type {
  BucketOptions,
  FreshCall,
  ObjectBucket,
  ObjectCall,
  ObjectInfo,
  ObjectStore,
  PutBytes,
  PutOutcome,
} from './object-store.ts';

type Stored = { info: ObjectInfo; chunks: Uint8Array[]; readonly storedMs: number };
type Held = { readonly options: BucketOptions; readonly objects: Map<string, Stored> };

export class MemoryObjectHub {
  readonly clock: Clock;
  readonly chance: Chance;
  readonly #buckets = new Map<string, Held>();
  /** One line; while it stands nothing can be reached. */
  trouble: string | null = null;
  /** Calls get no answer while this is set. */
  isSilent = false;

  constructor(options: { readonly clock: Clock; readonly chance: Chance }) {
    this.clock = options.clock;
    this.chance = options.chance;
  }

  open(): ObjectStore {
    return new MemoryObjectStore(this);
  }

  /** The bucket, made by whoever comes first; what has outlived its time is gone. */
  held(options: BucketOptions): Held {
    bucketLayout(options.name); // the same names are refused
    const held = this.#buckets.get(options.name) ?? { options, objects: new Map() };
    this.#buckets.set(options.name, held);
    for (const [name, { storedMs }] of held.objects) {
      const { ttlMs } = held.options;
      if (ttlMs > 0 && this.clock.nowMs() - storedMs >= ttlMs) held.objects.delete(name);
    }
    return held;
  }

  // --- faults; each throws when there is no such object

  /** Loses its bytes; its info stays. */
  lose(bucket: string, name: string): void {
    this.#stored(bucket, name).chunks = [];
  }

  /** Loses its last chunk. */
  truncate(bucket: string, name: string): void {
    this.#stored(bucket, name).chunks.pop();
  }

  /** Flips a bit of it. */
  corrupt(bucket: string, name: string): void {
    const [first] = this.#stored(bucket, name).chunks;
    if (first?.[0] === undefined) throw new Error(`${name} is empty: nothing to corrupt`);
    first[0] ^= 1;
  }

  /** As if its time were over. */
  expire(bucket: string, name: string): void {
    this.#stored(bucket, name);
    this.#buckets.get(bucket)?.objects.delete(name);
  }

  #stored(bucket: string, name: string): Stored {
    const stored = this.#buckets.get(bucket)?.objects.get(name);
    if (stored === undefined) throw new Error(`no object ${name} in bucket ${bucket}`);
    return stored;
  }
}

class MemoryObjectStore implements ObjectStore {
  readonly #hub: MemoryObjectHub;
  #isClosed = false;

  constructor(hub: MemoryObjectHub) {
    this.#hub = hub;
  }

  trouble(): string | null {
    return this.#isClosed ? 'the object store is closed' : this.#hub.trouble;
  }

  bucket(options: BucketOptions): ObjectBucket {
    return new MemoryBucket(this.#hub, options, () => this.trouble());
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}

class MemoryBucket implements ObjectBucket {
  readonly name: string;
  readonly #hub: MemoryObjectHub;
  readonly #options: BucketOptions;
  readonly #trouble: () => string | null;

  constructor(hub: MemoryObjectHub, options: BucketOptions, trouble: () => string | null) {
    this.name = options.name;
    this.#hub = hub;
    this.#options = options;
    this.#trouble = trouble;
  }

  async put(name: string, wanted: PutBytes, call: FreshCall): Promise<PutOutcome> {
    const before = await this.#call(`put ${name}`, call, (held) => this.#fresh(held, name, call));
    if (before !== null) return { outcome: 'present', info: before };
    const bytes = typeof wanted === 'function' ? wanted() : wanted;
    const info = this.#describe(name, bytes);
    const chunks = chunksOf(bytes);
    return await this.#call(`put ${name}`, call, (held) => {
      const other = this.#fresh(held, name, call);
      if (other !== null) return { outcome: 'present', info: other };
      if (sizeOf(held) + bytes.byteLength > held.options.bytesMax) return { outcome: 'full' };
      held.objects.set(name, { info, chunks, storedMs: this.#hub.clock.nowMs() });
      return { outcome: 'stored', info };
    });
  }

  info(name: string, call: FreshCall): Promise<ObjectInfo | null> {
    return this.#call(`info of ${name}`, call, (held) => this.#fresh(held, name, call));
  }

  get(info: ObjectInfo, call: ObjectCall): Promise<Uint8Array<ArrayBuffer>> {
    return this.#call(`get ${info.name}`, call, (held, what) => {
      if (info.bytes === 0) return new Uint8Array(0);
      const stored = held.objects.get(info.name);
      const chunks = stored?.info.nuid === info.nuid ? stored.chunks : [];
      if (chunks.length === 0) throw flaw('missing', `${what}: its bytes are gone`);
      const bytes = new Uint8Array(Buffer.concat(chunks));
      if (chunks.length !== info.chunkCount || bytes.byteLength !== info.bytes) {
        throw flaw('truncated', `${what}: ${bytes.byteLength} bytes, wanted ${info.bytes}`);
      }
      const digest = digestOf(bytes);
      if (digest === info.digest) return bytes;
      throw flaw('corrupt', `${what}: its digest is ${digest}, wanted ${info.digest}`);
    });
  }

  remove(info: ObjectInfo, call: ObjectCall): Promise<void> {
    return this.#call(`remove ${info.name}`, call, ({ objects }) => {
      if (objects.get(info.name)?.info.nuid === info.nuid) objects.delete(info.name);
    });
  }

  usedBytes(call: ObjectCall): Promise<number> {
    return this.#call('bytes in use', call, sizeOf);
  }

  async #call<T>(what: string, call: ObjectCall, act: (held: Held, what: string) => T): Promise<T> {
    const whole = `object bucket ${this.name}: ${what}`;
    using scope = new CallScope({ clock: this.#hub.clock, call, what: whole });
    scope.check();
    const trouble = this.#trouble();
    if (trouble !== null) throw flaw('unreachable', `${whole}: ${trouble}`);
    if (this.#hub.isSilent) await scope.of(new Promise<never>(() => undefined));
    await scope.of(Promise.resolve());
    return act(this.#hub.held(this.#options), whole);
  }

  #fresh(held: Held, name: string, { freshMs }: FreshCall): ObjectInfo | null {
    const stored = held.objects.get(name);
    if (stored === undefined) return null;
    const { ttlMs } = held.options;
    if (freshMs === undefined || ttlMs === 0) return stored.info;
    const leftMs = stored.storedMs + ttlMs - this.#hub.clock.nowMs();
    return leftMs > freshMs ? stored.info : null;
  }

  #describe(name: string, bytes: Uint8Array): ObjectInfo {
    bucketLayout(this.name).metaSubject(name); // the same names are refused
    return {
      name,
      nuid: this.#hub.chance.id(),
      bytes: bytes.byteLength,
      chunkCount: Math.ceil(bytes.byteLength / chunkBytesWanted),
      digest: digestOf(bytes),
    };
  }
}

function chunksOf(bytes: Uint8Array): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength; at += chunkBytesWanted) {
    chunks.push(bytes.slice(at, at + chunkBytesWanted));
  }
  return chunks;
}

function sizeOf(held: Held): number {
  const objects = [...held.objects.values()];
  return objects.flatMap(({ chunks }) => chunks).reduce((sum, chunk) => sum + chunk.byteLength, 0);
}

function digestOf(bytes: Uint8Array): string {
  return base64Url(sha256().update(bytes).digest());
}
