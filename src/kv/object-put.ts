// One worker's objects in the bucket: which names are there (so that none is put twice), which of them
// requests still need, and what goes first when the bucket is full. What others have put is theirs: it
// is used and never removed.

import type { ObjectBucket, ObjectInfo } from '../plane/object-store.ts';
import { limit } from '../protocol/limit.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import { Semaphore } from './semaphore.ts';

type Known = {
  readonly info: ObjectInfo;
  readonly isOurs: boolean;
  /** When it must be taken for gone, shortly before its time to live ends. */
  readonly untilMs: number;
  /** When it is gone from the bucket; another's may be sooner. */
  readonly goneMs: number;
  holders: number;
};

type Wanted = {
  readonly bytes: number;
  readonly frame: () => Uint8Array;
  readonly signal: AbortSignal;
};

/** An object that stays as long as one of its holders needs it, as far as that is ours to say. */
export type HeldObject = {
  readonly info: ObjectInfo;
  /** Once. */
  letGo(): void;
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
  /** Names on their way in (two requests with one beginning send it once) or out. */
  readonly #busy = new Map<string, Promise<unknown>>();
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
   * The object of that name, put if it is not there; held until let go. Throws a Fault `transfer`:
   * reason `full` when there was no room in time (at once, where others have waited in vain for as
   * long as that is), the bucket's own reasons else.
   */
  async put(name: string, wanted: Wanted): Promise<HeldObject> {
    for (;;) {
      const known = this.#fresh(name);
      if (known !== null) {
        this.savedBytes += wanted.bytes;
        return this.#hold(name, known);
      }
      const busy = this.#busy.get(name);
      if (busy === undefined) break;
      await settled(busy, wanted.signal); // another request's: if it failed, it is ours to try
    }
    return this.#hold(name, await this.#alone(name, this.#ensure(name, wanted)));
  }

  /** A reader could not read it: it goes, whoever has put it, and is put anew when it is wanted. */
  doubt(info: ObjectInfo): void {
    const { name } = info;
    if (this.#known.get(name)?.info.nuid === info.nuid) this.#known.delete(name);
    if (this.#busy.has(name)) return; // on its way anew already, or going
    const removal = this.#alone(name, this.#bucket.remove(info, { timeoutMs: limit.objectCallMs }));
    removal.catch((thrown: unknown) => this.#noteStuck(name, thrown));
  }

  /** At a clean end: what this worker has put goes with it, as far as the time allows. */
  async clear(): Promise<void> {
    const over = new AbortController();
    const timer = this.#clock.after(limit.objectClearMs, () => over.abort(new Error('late')));
    const own = [...this.#known.values()].filter(({ isOurs }) => isOurs);
    this.#known.clear();
    const lanes = new Semaphore(limit.objectClearLaneMax);
    const call = { timeoutMs: limit.objectClearMs, signal: over.signal };
    const removals = own.map(({ info }) =>
      lanes.run(over.signal, () => this.#bucket.remove(info, call)),
    );
    await Promise.allSettled(removals); // what stays goes by its time to live
    timer.cancel();
  }

  /** Whoever wants that name waits until `work` is over. */
  async #alone<T>(name: string, work: Promise<T>): Promise<T> {
    this.#busy.set(name, work);
    try {
      return await work;
    } finally {
      this.#busy.delete(name);
    }
  }

  /** Objects that requests need. */
  get heldCount(): number {
    return [...this.#known.values()].filter(({ holders }) => holders > 0).length;
  }

  #hold(name: string, known: Known): HeldObject {
    known.holders++;
    this.#known.delete(name);
    this.#known.set(name, known);
    const letGo = (): void => {
      known.holders--;
    };
    return { info: known.info, letGo };
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
    // Of another's all that is known is that it has `freshMs` left: half of that is the reader's.
    const foreign = (info: ObjectInfo): Known => {
      this.savedBytes += bytes;
      return this.#note(name, { info, isOurs: false, leftMs: freshMs / 2 });
    };
    for (;;) {
      const put = await this.#bucket.put(name, frame, { ...call, freshMs });
      if (put.outcome !== 'full') this.#fullSinceMs = null;
      if (put.outcome === 'present') return foreign(put.info);
      if (put.outcome === 'stored') {
        return this.#note(name, { info: put.info, isOurs: true, leftMs: this.#ttlMs - freshMs });
      }
      if (await this.#evict(bytes, signal)) continue;
      this.#fullSinceMs ??= this.#clock.nowMs();
      const waitedMs = this.#clock.nowMs() - this.#fullSinceMs;
      if (waitedMs >= limit.objectRoomWaitMs) throw this.#full();
      await this.#room(signal);
    }
  }

  #note(name: string, what: Pick<Known, 'info' | 'isOurs'> & { readonly leftMs: number }): Known {
    const { info, isOurs, leftMs } = what;
    const nowMs = this.#clock.nowMs();
    const goneMs = nowMs + (isOurs ? this.#ttlMs : leftMs);
    const known: Known = { info, isOurs, untilMs: nowMs + leftMs, goneMs, holders: 0 };
    this.#known.set(name, known);
    this.#forgetGone(nowMs);
    if (this.#known.size > limit.objectKnownMax) {
      for (const [oldest, { holders }] of this.#known) {
        if (holders > 0) continue;
        this.#known.delete(oldest);
        break;
      }
    }
    return known;
  }

  /** Whoever is gone need not be remembered, nor removed at our end. The first ones go first. */
  #forgetGone(nowMs: number): void {
    for (const [name, { goneMs, holders }] of this.#known) {
      if (goneMs > nowMs) return;
      if (holders === 0) this.#known.delete(name);
    }
  }

  /** Removes objects of ours that nobody needs, at least `bytes` of them; false when there are none. */
  async #evict(bytes: number, signal: AbortSignal): Promise<boolean> {
    let freed = 0;
    const call = { timeoutMs: limit.objectCallMs, signal };
    for (const [name, { info, isOurs, holders }] of this.#known) {
      if (freed >= bytes) break;
      if (!isOurs || holders > 0 || this.#busy.has(name)) continue;
      this.#known.delete(name);
      try {
        await this.#alone(name, this.#bucket.remove(info, call));
        freed += info.bytes;
      } catch (thrown) {
        // Perhaps half gone. The others would hardly fare better now.
        this.#noteStuck(name, thrown);
        break;
      }
    }
    return freed > 0;
  }

  #noteStuck(name: string, thrown: unknown): void {
    this.#log.debug('object not removed', { name, reason: toFault(thrown).message });
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

/** When `work` is over, whatever came of it. Throws the signal's reason if that comes first. */
function settled(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  return new Promise<void>((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    signal.addEventListener('abort', leave, { once: true });
    const end = (): void => {
      signal.removeEventListener('abort', leave);
      resolve();
    };
    work.then(end, end);
  });
}
