// One worker's objects in the bucket: which names are there (so that none is put twice), which of them
// requests still need, and what goes first when the bucket is full. What others have put is theirs: it
// is used and never removed.

import type { ObjectBucket, ObjectInfo } from '../plane/object-store.ts';
import { limit } from '../protocol/limit.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';

type Known = {
  readonly info: ObjectInfo;
  readonly isOurs: boolean;
  /** When it must be taken for gone, shortly before its time to live ends. */
  readonly untilMs: number;
  holders: number;
};

type Wanted = {
  readonly bytes: number;
  readonly frame: () => Uint8Array;
  readonly signal: AbortSignal;
};

export class ObjectPut {
  /** Bytes not sent because the bucket had them. */
  savedBytes = 0;
  readonly #bucket: ObjectBucket;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #ttlMs: number;
  /** By name, least recently used first. */
  readonly #known = new Map<string, Known>();
  /** Names on their way: two requests with one beginning send it once. */
  readonly #pending = new Map<string, Promise<Known>>();
  /** Since when no put has found room; null: the last one has. */
  #fullSinceMs: number | null = null;

  constructor(options: {
    readonly bucket: ObjectBucket;
    readonly clock: Clock;
    readonly log: Log;
    readonly ttlMs: number;
  }) {
    this.#bucket = options.bucket;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#ttlMs = options.ttlMs;
  }

  /**
   * The object of that name, put if it is not there; held until `letGo`. Throws a Fault `transfer`:
   * reason `full` when there was no room in time (at once, where others have waited in vain for as
   * long as that is), the bucket's own reasons else.
   */
  async put(name: string, wanted: Wanted): Promise<ObjectInfo> {
    for (;;) {
      const known = this.#fresh(name);
      if (known !== null) {
        this.savedBytes += wanted.bytes;
        return this.#hold(name, known);
      }
      const pending = this.#pending.get(name);
      if (pending === undefined) break;
      await pending.catch(() => undefined); // another request's: if it failed, it is ours to try
      wanted.signal.throwIfAborted();
    }
    const work = this.#ensure(name, wanted);
    this.#pending.set(name, work);
    try {
      return this.#hold(name, await work);
    } finally {
      this.#pending.delete(name);
    }
  }

  /** Objects that requests need. */
  get heldCount(): number {
    return [...this.#known.values()].filter(({ holders }) => holders > 0).length;
  }

  /** One request needs it no more. */
  letGo(name: string): void {
    const known = this.#known.get(name);
    if (known !== undefined && known.holders > 0) known.holders--;
  }

  #hold(name: string, known: Known): ObjectInfo {
    known.holders++;
    this.#known.delete(name);
    this.#known.set(name, known);
    return known.info;
  }

  #fresh(name: string): Known | null {
    const known = this.#known.get(name);
    if (known === undefined) return null;
    if (known.untilMs > this.#clock.nowMs()) return known;
    this.#known.delete(name);
    return null;
  }

  async #ensure(name: string, { bytes, frame, signal }: Wanted): Promise<Known> {
    const call = { timeoutMs: limit.objectCallMs, signal };
    const freshMs = Math.min(limit.objectFreshMs, this.#ttlMs / 2);
    const there = await this.#bucket.info(name, { ...call, freshMs });
    if (there !== null) {
      this.savedBytes += bytes;
      // Its age is not known here: it is asked for again when a fresh one would be half as old.
      return this.#note(name, {
        info: there,
        isOurs: false,
        untilMs: this.#clock.nowMs() + freshMs,
      });
    }
    for (;;) {
      const put = await this.#bucket.put(name, frame(), { ...call, freshMs });
      if (put.outcome !== 'full') {
        this.#fullSinceMs = null;
        const untilMs = this.#clock.nowMs() + this.#ttlMs - freshMs;
        return this.#note(name, { info: put.info, isOurs: put.outcome === 'stored', untilMs });
      }
      if (await this.#evict(bytes)) continue;
      this.#fullSinceMs ??= this.#clock.nowMs();
      const waitedMs = this.#clock.nowMs() - this.#fullSinceMs;
      if (waitedMs >= limit.objectRoomWaitMs) throw this.#full();
      await this.#room(signal);
    }
  }

  #note(name: string, what: Omit<Known, 'holders'>): Known {
    const known: Known = { ...what, holders: 0 };
    this.#known.set(name, known);
    if (this.#known.size > limit.objectKnownMax) {
      for (const [oldest, { holders }] of this.#known) {
        if (holders > 0) continue;
        this.#known.delete(oldest);
        break;
      }
    }
    return known;
  }

  /** Removes objects of ours that nobody needs, at least `bytes` of them; false when there are none. */
  async #evict(bytes: number): Promise<boolean> {
    let freed = 0;
    const call = { timeoutMs: limit.objectCallMs };
    for (const [name, { info, isOurs, holders }] of this.#known) {
      if (freed >= bytes) break;
      if (!isOurs || holders > 0) continue;
      this.#known.delete(name);
      try {
        await this.#bucket.remove(info, call);
        freed += info.bytes;
      } catch (thrown) {
        this.#log.debug('object not removed', { name, reason: toFault(thrown).message });
      }
    }
    return freed > 0;
  }

  /** Others' objects fill the bucket: they end, or the signal does. */
  async #room(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const timer = this.#clock.after(limit.objectRoomMs, () => {
        signal.removeEventListener('abort', leave);
        resolve();
      });
      const leave = (): void => {
        timer.cancel();
        const ended: unknown = signal.reason;
        reject(ended instanceof Fault && ended.reason === 'timeout' ? this.#full() : ended);
      };
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  #full(): Fault {
    const text = `the KV bucket ${this.#bucket.name} is full; raise --kv-object-max-bytes or lower --kv-object-ttl`;
    return new Fault('transfer', text, { reason: 'full' });
  }
}
