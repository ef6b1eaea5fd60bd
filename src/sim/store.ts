// The object store as one process sees it: calls take time, and what comes of them may be what faults
// make of it. Objects themselves live in plane/memory-object.ts.

import { blockHeaderBytes } from '../kv/block.ts';
import { flaw } from '../plane/call-scope.ts';
import { MemoryObjectHub } from '../plane/memory-object.ts';
import type {
  BucketOptions,
  ObjectBucket,
  ObjectCall,
  ObjectStore,
} from '../plane/object-store.ts';
import type { Dice } from './dice.ts';
import type { Link } from './link.ts';
import type { Lane, World } from './world.ts';

export type ObjectHarm = 'corrupt' | 'truncate' | 'missing' | 'full' | 'slow' | 'frame';

/** The server's side: one for all processes, with nothing in it after a restart. */
export class SimObjects {
  /** Share of the calls that each kind of harm befalls now. */
  readonly harm = new Map<ObjectHarm, number>();
  readonly #world: World;
  readonly #dice: Dice;
  readonly #onHarm: (kind: ObjectHarm) => void;
  hub: MemoryObjectHub;

  constructor(world: World, dice: Dice, onHarm: (kind: ObjectHarm) => void) {
    this.#world = world;
    this.#dice = dice;
    this.#onHarm = onHarm;
    this.hub = this.#empty();
  }

  /** Memory storage does not outlive the server. */
  restart(): void {
    this.hub = this.#empty();
  }

  befalls(kind: ObjectHarm): boolean {
    const share = this.harm.get(kind) ?? 0;
    if (share === 0 || !this.#dice.chance(share)) return false;
    this.#onHarm(kind);
    return true;
  }

  #empty(): MemoryObjectHub {
    const clock = {
      nowMs: () => this.#world.nowMs,
      epochS: () => 0,
      after: () => ({ cancel: () => undefined }), // calls have their deadlines in SimStore
    };
    return new MemoryObjectHub({ clock, chance: this.#dice.asChance() });
  }
}

export class SimStore implements ObjectStore {
  readonly #objects: SimObjects;
  readonly #lane: Lane;
  readonly #link: Link;
  readonly #dice: Dice;
  /** Whether the server has JetStream and is up. */
  readonly #isUp: () => boolean;
  #trouble: string | null = null;
  #isClosed = false;

  constructor(options: {
    readonly objects: SimObjects;
    readonly lane: Lane;
    readonly link: Link;
    readonly dice: Dice;
    readonly isUp: () => boolean;
  }) {
    this.#objects = options.objects;
    this.#lane = options.lane;
    this.#link = options.link;
    this.#dice = options.dice;
    this.#isUp = options.isUp;
  }

  trouble(): string | null {
    return this.#isClosed ? 'the object store is closed' : this.#trouble;
  }

  bucket(options: BucketOptions): ObjectBucket {
    const objects = this.#objects;
    const inner = (): ObjectBucket => objects.hub.open().bucket(options);
    const { name: bucket } = options;
    return {
      name: bucket,
      put: (name, bytes, call) =>
        this.#call(`put ${name}`, call, async () => {
          if (objects.befalls('full')) return { outcome: 'full' };
          const put = await inner().put(name, bytes, call);
          if (put.outcome !== 'stored') return put;
          const { hub } = objects;
          if (objects.befalls('corrupt')) hub.corrupt(bucket, name);
          else if (objects.befalls('truncate')) hub.truncate(bucket, name);
          else if (objects.befalls('missing')) hub.expire(bucket, name);
          return put;
        }),
      info: (name, call) => this.#call(`info ${name}`, call, () => inner().info(name, call)),
      get: (info, call) =>
        this.#call(`get ${info.name}`, call, async () => {
          const bytes = await inner().get(info, call);
          if (bucket.includes('-kv-') && objects.befalls('frame')) this.#damage(bytes);
          return bytes;
        }),
      remove: (info, call) =>
        this.#call(`remove ${info.name}`, call, () => inner().remove(info, call)),
      usedBytes: (call) => this.#call('used', call, () => inner().usedBytes(call)),
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  /** A bit after the digest was checked: what is left is the block's own checksum. */
  #damage(bytes: Uint8Array): void {
    const at = blockHeaderBytes + this.#dice.whole(0, 7); // the first position's id and digest
    bytes[at] = (bytes[at] ?? 0) ^ (1 << this.#dice.whole(0, 7));
  }

  async #call<T>(what: string, call: ObjectCall, act: () => Promise<T>): Promise<T> {
    await this.#travel(what, call);
    if (this.#link.isCut || !this.#isUp()) {
      this.#trouble = 'no connection';
      throw flaw('unreachable', `${what}: no connection`);
    }
    this.#trouble = null;
    return await act();
  }

  /** There and back; as long as the link is cut, until the deadline. */
  async #travel(what: string, { timeoutMs, signal }: ObjectCall): Promise<void> {
    const slowMs = this.#objects.befalls('slow') ? this.#dice.between(200, 18_000) : 0;
    const wantedMs = this.#link.delayMs() + this.#link.delayMs() + slowMs;
    const waitMs = Math.min(timeoutMs, wantedMs);
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => {
        timer.cancel();
        reject(flaw('cancelled', `${what}: cancelled`));
      };
      const timer = this.#lane.clock.after(waitMs, () => {
        signal?.removeEventListener('abort', abort);
        if (waitMs === wantedMs) resolve();
        else reject(flaw('timeout', `${what}: not done within ${timeoutMs} ms`));
      });
      signal?.addEventListener('abort', abort, { once: true });
      if (signal?.aborted === true) abort();
    });
  }
}
