// An object store in a test's hands: one memory for all who open it, and gets that end when told.

import type {
  BucketOptions,
  ObjectBucket,
  ObjectInfo,
  ObjectStore,
} from '../../src/plane/object-store.ts';
import { Fault } from '../../src/std/fault.ts';
import { digest } from '../../src/std/hash.ts';

export class FakeObjects implements ObjectStore {
  readonly objects = new Map<string, { readonly info: ObjectInfo; readonly bytes: Uint8Array }>();
  /** Everything that was ever put, by size. */
  readonly puts: number[] = [];
  opened: BucketOptions | null = null;
  isFull = false;
  /** Cannot be reached. */
  down: string | null = null;
  /** What it says of itself; set by a test as a failed call would. */
  refusal: string | null = null;
  probeCount = 0;
  /** Awaited before each get: a test holds it back here. */
  beforeGet: (info: ObjectInfo) => Promise<void> = async () => undefined;
  /** How long each put and get was given, in order. */
  readonly waits: number[] = [];

  trouble(): string | null {
    return this.refusal;
  }

  async close(): Promise<void> {
    this.down = 'closed';
  }

  bucket(options: BucketOptions): ObjectBucket {
    this.opened = options;
    return {
      name: options.name,
      put: async (name, wanted, { timeoutMs }) => {
        const bytes = typeof wanted === 'function' ? wanted() : wanted;
        this.waits.push(timeoutMs);
        await new Promise((resolve) => setImmediate(resolve)); // a round trip
        this.#check();
        if (this.isFull) return { outcome: 'full' };
        const info = {
          name,
          nuid: name,
          bytes: bytes.byteLength,
          chunkCount: 1,
          digest: digest(bytes),
        };
        this.objects.set(name, { info, bytes: bytes.slice() });
        this.puts.push(bytes.byteLength);
        return { outcome: 'stored', info };
      },
      info: async (name) => this.objects.get(name)?.info ?? null,
      get: async (info, { timeoutMs, signal }) => {
        this.waits.push(timeoutMs);
        this.#check();
        const gone = new Promise<never>((_, reject) =>
          signal?.addEventListener('abort', () =>
            reject(new Fault('transfer', 'get: cancelled', { reason: 'cancelled' })),
          ),
        );
        await Promise.race([this.beforeGet(info), gone]);
        const found = this.objects.get(info.name);
        if (found === undefined) {
          throw new Fault('transfer', `object ${info.name}: missing`, { reason: 'missing' });
        }
        return new Uint8Array(found.bytes);
      },
      remove: async ({ name }) => {
        this.objects.delete(name);
      },
      usedBytes: async () => {
        this.probeCount += 1;
        this.#check();
        return [...this.objects.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
      },
    };
  }

  /** As the real one: what failed says so until a call succeeds. */
  #check(): void {
    if (this.down !== null) throw new Fault('transfer', this.down, { reason: 'unreachable' });
    this.refusal = null;
  }
}
