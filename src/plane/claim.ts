// Messages of any size over a bus with a limit (a "claim check"): one that does not fit is put into an
// object bucket of the namespace, a small note travels in its place, and the receiver handles the bytes
// as if they had come whole, in the order in which they were published. What fits goes as before.
//
//   sender ── put ──▶ bucket tdist-<namespace>-messages ── get, remove ──▶ receiver
//     └────────────── note, by the bus ─────────────────────────────────────▲
//
// What nobody fetches, or several may, goes by the bucket's time to live. Where there is no object store,
// a large message is refused with what would help; where it has only gone, as while the plane is away.

import { limit } from '../protocol/limit.ts';
import type { Clock } from '../std/clock.ts';
import { assert, Fault, toFault } from '../std/fault.ts';
import type { Chance } from '../std/prng.ts';
import type { Log } from '../telemetry/log.ts';
import type { Bus, BusHandler, Ending, Endpoint, Service } from './bus.ts';
import { isNote, readNote, writeNote } from './claim-note.ts';
import { Lanes } from './lanes.ts';
import type { ObjectBucket, ObjectInfo, ObjectStore } from './object-store.ts';

export type ClaimOptions = {
  /** Closed with this one. */
  readonly bus: Bus;
  /** Whoever opened it closes it, after this. */
  readonly store: ObjectStore;
  readonly namespace: string;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Log;
};

/** `maxPayloadBytes` stays the inner bus's: what fits it costs one message. */
export function withClaims(options: ClaimOptions): Bus {
  return new ClaimBus(options);
}

/** Namespaces are made of what bucket names may hold, so two never share a bucket. */
export function messageBucket(namespace: string): string {
  assert(/^[A-Za-z0-9_-]+$/.test(namespace), `namespace ${namespace}`);
  return `tdist-${namespace}-messages`;
}

type Wait = { readonly timeoutMs: number; readonly signal?: AbortSignal };

class ClaimBus implements Bus {
  readonly #options: ClaimOptions;
  readonly #inner: Bus;
  readonly #bucket: ObjectBucket;
  /** By subject: what waits to be published behind a large message. */
  readonly #outgoing = new Lanes(limit.claimQueueMax);
  /** The store has taken a message: if it cannot be reached later, it will be back. */
  #hasWorked = false;
  #isProbing = false;

  constructor(options: ClaimOptions) {
    this.#options = options;
    this.#inner = options.bus;
    this.#bucket = options.store.bucket({
      name: messageBucket(options.namespace),
      description: `large messages of the tdist namespace ${options.namespace}`,
      storage: 'memory',
      bytesMax: limit.messageBucketBytes,
      ttlMs: limit.claimKeepMs,
      replicaCount: 1,
    });
  }

  get maxPayloadBytes(): number {
    return this.#inner.maxPayloadBytes;
  }

  trouble(): string | null {
    return this.#inner.trouble();
  }

  onTrouble(handler: (trouble: string | null) => void): void {
    this.#inner.onTrouble(handler);
  }

  /** A large message that cannot be put is lost with a warning: its publisher has gone on. */
  publish(subject: string, payload: Uint8Array): void {
    const isLarge = this.#isLarge(subject, payload);
    if (!isLarge && !this.#outgoing.isBusy(subject)) {
      this.#inner.publish(subject, payload);
      return;
    }
    const trouble = this.#inner.trouble();
    if (trouble !== null) throw new Fault('plane', trouble);
    const missing = isLarge ? this.#options.store.trouble() : null;
    if (missing !== null) {
      this.#probe();
      throw this.#refusal(subject, payload.byteLength, missing);
    }
    const copy = payload.slice(); // it is the caller's again
    const ready = isLarge ? this.#noteFor(subject, copy) : Promise.resolve(copy);
    const lost = (why: string): void =>
      this.#options.log.warn('Message lost', { subject, reason: why });
    const isIn = this.#outgoing.add(subject, ready, (result) => {
      try {
        if (result instanceof Fault) lost(result.message);
        else this.#inner.publish(subject, result);
      } catch (error) {
        lost(toFault(error).message);
      }
    });
    if (isIn) return;
    const text = `publish on ${subject}: ${limit.claimQueueMax} messages wait behind a large one`;
    throw new Fault('overloaded', text);
  }

  subscribe(subject: string, handler: BusHandler): Ending {
    const lanes = new Lanes(limit.claimQueueMax);
    const { log } = this.#options;
    let isOn = true;
    const hand = (payload: Uint8Array, found: string): void => {
      try {
        if (isOn) handler(payload, found);
      } catch (error) {
        log.error('message handler failed', { subject: found, reason: String(error) });
      }
    };
    const lost = (found: string, why: string): void =>
      log.warn('Large message lost', { subject: found, reason: why });
    const inner = this.#inner.subscribe(subject, (payload, found) => {
      if (!isNote(payload) && !lanes.isBusy(found)) {
        handler(payload, found);
        return;
      }
      const isIn = lanes.add(found, this.#whole(payload), (result) =>
        result instanceof Fault ? lost(found, result.message) : hand(result, found),
      );
      if (!isIn) lost(found, `${limit.claimQueueMax} messages wait before it`);
    });
    return {
      stop: async () => {
        isOn = false;
        await inner.stop();
      },
    };
  }

  async request(subject: string, payload: Uint8Array, wait: Wait): Promise<Uint8Array> {
    const { clock } = this.#options;
    const endMs = clock.nowMs() + wait.timeoutMs;
    const left = (): Wait => ({ ...wait, timeoutMs: Math.max(1, endMs - clock.nowMs()) });
    const reply = this.#isLarge(subject, payload)
      ? await this.#requestLarge(subject, payload, left)
      : await this.#inner.request(subject, payload, wait);
    return isNote(reply) ? await this.#fetch(reply, left()) : reply;
  }

  /** Requests begin in the order in which they came: an abort must not overtake what it aborts. */
  serve(service: Service): Ending {
    const lanes = new Lanes(limit.claimQueueMax);
    const endpoints = service.endpoints.map((endpoint) => ({
      ...endpoint,
      handle: async (payload: Uint8Array) => {
        const isNext = !isNote(payload) && !lanes.isBusy(service.name);
        const reply = isNext
          ? await endpoint.handle(payload)
          : await (await this.#begun(lanes, service.name, endpoint, payload)).reply;
        return await this.#replyFor(endpoint.subject, reply);
      },
    }));
    return this.#inner.serve({ ...service, endpoints });
  }

  async flush(): Promise<void> {
    await this.#outgoing.idle();
    await this.#inner.flush();
  }

  async close(): Promise<void> {
    await this.#outgoing.idle(); // each has its deadline
    await this.#inner.close();
  }

  /** Resolves when the endpoint has begun with the whole message; its reply may take long. */
  #begun(
    lanes: Lanes,
    lane: string,
    endpoint: Endpoint,
    payload: Uint8Array,
  ): Promise<{ readonly reply: Promise<Uint8Array> }> {
    return new Promise((resolve, reject) => {
      const isIn = lanes.add(lane, this.#whole(payload), (result) => {
        if (result instanceof Fault) reject(result);
        else resolve({ reply: (async () => await endpoint.handle(result))() });
      });
      if (isIn) return;
      const text = `${endpoint.subject}: ${limit.claimQueueMax} requests wait behind a large one`;
      reject(new Fault('overloaded', text));
    });
  }

  async #replyFor(subject: string, reply: Uint8Array): Promise<Uint8Array> {
    if (!this.#isLarge(subject, reply)) return reply;
    return (await this.#put(subject, reply, { timeoutMs: limit.claimMs, once: true })).note;
  }

  /** The message itself, fetched where it is a note; fetching begins at once. Rejects never. */
  #whole(payload: Uint8Array): Promise<Uint8Array | Fault> {
    if (!isNote(payload)) return Promise.resolve(payload);
    return this.#fetch(payload, null).catch((error: unknown) => toFault(error));
  }

  /** For messages that are published. Rejects never. */
  async #noteFor(subject: string, payload: Uint8Array): Promise<Uint8Array | Fault> {
    try {
      const wait = { timeoutMs: limit.claimMs, once: false };
      return (await this.#put(subject, payload, wait)).note;
    } catch (error) {
      return toFault(error);
    }
  }

  async #requestLarge(subject: string, payload: Uint8Array, left: () => Wait): Promise<Uint8Array> {
    const trouble = this.#inner.trouble();
    if (trouble !== null) throw new Fault('plane', trouble);
    const { note, info } = await this.#put(subject, payload, { ...left(), once: true });
    try {
      return await this.#inner.request(subject, note, left());
    } catch (error) {
      this.#remove(info); // perhaps nobody has fetched it
      throw error;
    }
  }

  /** Whether it travels through the bucket. Throws `too_large` for what nothing can carry. */
  #isLarge(subject: string, { byteLength: bytes }: Uint8Array): boolean {
    const bytesMax = this.#inner.maxPayloadBytes;
    if (bytes <= bytesMax - limit.messageHeadroomBytes) return false;
    if (bytes > limit.messageBytesMax) {
      const text = `${subject}: message of ${bytes} bytes, at most ${limit.messageBytesMax} can be sent`;
      throw new Fault('too_large', text);
    }
    return bytes > bytesMax || this.#options.store.trouble() === null;
  }

  #refusal(subject: string, bytes: number, missing: string): Fault {
    const bytesMax = this.#inner.maxPayloadBytes;
    const text = `${subject}: message of ${bytes} bytes, NATS carries at most ${bytesMax} in one`;
    if (this.#hasWorked) {
      return new Fault('plane', `${text} and the object store is away (${missing})`);
    }
    const mend = 'raise max_payload in nats-server’s configuration or enable JetStream there';
    return new Fault('too_large', `${text} and there is no object store (${missing}); ${mend}`);
  }

  /** Asks the store whether it is back: it knows only by being used. */
  #probe(): void {
    if (this.#isProbing) return;
    this.#isProbing = true;
    const done = (): void => {
      this.#isProbing = false;
    };
    this.#bucket.usedBytes({ timeoutMs: limit.claimMs }).then(done, done);
  }

  async #put(
    subject: string,
    payload: Uint8Array,
    { once, ...wait }: Wait & { readonly once: boolean },
  ): Promise<{ readonly note: Uint8Array; readonly info: ObjectInfo }> {
    const { timeoutMs } = wait;
    const call = { ...wait, timeoutMs: Math.min(timeoutMs, limit.claimMs) };
    const name = this.#options.chance.id();
    const put = await orCancelled(subject, wait, this.#bucket.put(name, payload, call)).catch(
      (error: unknown) => {
        const fault = toFault(error);
        const isAway = fault.reason === 'unreachable';
        throw isAway ? this.#refusal(subject, payload.byteLength, fault.message) : fault;
      },
    );
    this.#hasWorked = true;
    if (put.outcome === 'full') {
      const text = `${subject}: no room for a message of ${payload.byteLength} bytes in bucket ${this.#bucket.name}`;
      throw new Fault('overloaded', `${text}; large messages under way must end first`);
    }
    const { info } = put;
    const claim = { bucket: this.#bucket.name, info, once, waitMs: Math.ceil(timeoutMs) };
    return { note: writeNote(claim), info };
  }

  /** The message that a note stands for. */
  async #fetch(note: Uint8Array, wait: Wait | null): Promise<Uint8Array> {
    const { info, once, waitMs } = readNote(note, this.#bucket.name);
    const timeoutMs = Math.max(1, Math.min(limit.claimMs, waitMs, wait?.timeoutMs ?? waitMs));
    const get = this.#bucket.get(info, { ...wait, timeoutMs });
    const payload = await orCancelled('large message', wait, get);
    if (once) this.#remove(info);
    return payload;
  }

  #remove(info: ObjectInfo): void {
    this.#bucket.remove(info, { timeoutMs: limit.claimMs }).catch((error: unknown) => {
      this.#options.log.debug('large message left to its time to live', {
        reason: toFault(error).message,
      });
    });
  }
}

/** What ends because its caller went away is `cancelled`, as everywhere on the bus. */
async function orCancelled<T>(
  what: string,
  wait: Pick<Wait, 'signal'> | null,
  work: Promise<T>,
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (wait?.signal?.aborted !== true) throw error;
    throw new Fault('cancelled', `${what}: cancelled`, { cause: error });
  }
}
