// A prompt's blocks out of the bucket into this worker's engine: fetched a few ahead as they are
// announced, given to the engine in order. The ticket at the end names them all; only what is missing
// then is waited for. Nothing a context worker says is believed: a block is what its bytes say it is,
// and the engine checks that against the prompt.

import type { ObjectBucket } from '../plane/object-store.ts';
import { limit } from '../protocol/limit.ts';
import type { ObjectBlock, ObjectTicket, Ticket } from '../protocol/ticket.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import { Semaphore } from './semaphore.ts';
import type { KvReceive, Receiving } from './transfer.ts';

type Fetched = {
  readonly frame: Promise<Uint8Array<ArrayBuffer>>;
  /** With the engine: the bytes are no longer ours. */
  isGiven: boolean;
};

type Reception = {
  readonly receiving: Receiving;
  readonly over: AbortController;
  /** Announced and not yet in the slot, by first position. */
  readonly blocks: Map<number, ObjectBlock>;
  readonly fetches: Map<number, Fetched>;
  dtype: string | null;
  /** The slot is filled up to here. */
  next: number;
  /** Blocks up to here, as they say of themselves, have been given to the engine. */
  given: number;
  /** Given and not yet answered: an engine answers between two steps, and takes several then. */
  placingCount: number;
  isWaiting: boolean;
  readonly done: PromiseWithResolvers<void>;
};

export class ObjectReceive implements KvReceive {
  readonly #bucketOf: (dtype: string) => ObjectBucket | null;
  readonly #deliver: (requestId: string, frame: Uint8Array<ArrayBuffer>) => void;
  readonly #clock: Clock;
  readonly #frameBytesMax: number;
  readonly #lanes = new Semaphore(limit.objectLaneMax);
  readonly #receptions = new Map<string, Reception>();

  constructor(options: {
    /** Null: no dtype that this build can read. */
    readonly bucketOf: (dtype: string) => ObjectBucket | null;
    /** To the engine; answered by `placed`, or by `end`. */
    readonly deliver: (requestId: string, frame: Uint8Array<ArrayBuffer>) => void;
    readonly clock: Clock;
    /** No block is larger: what says so is not fetched. */
    readonly frameBytesMax: number;
  }) {
    this.#frameBytesMax = options.frameBytesMax;
    this.#bucketOf = options.bucketOf;
    this.#deliver = options.deliver;
    this.#clock = options.clock;
  }

  begin(receiving: Receiving): void {
    const done = Promise.withResolvers<void>();
    done.promise.catch(() => undefined); // heard by `finish`, if it comes to that
    this.#receptions.set(receiving.requestId, {
      receiving,
      over: new AbortController(),
      blocks: new Map(),
      fetches: new Map(),
      dtype: null,
      next: receiving.heldTokens,
      given: receiving.heldTokens,
      placingCount: 0,
      isWaiting: false,
      done,
    });
  }

  announce(requestId: string, dtype: string, blocks: readonly ObjectBlock[]): void {
    const one = this.#receptions.get(requestId);
    if (one === undefined) return;
    one.dtype ??= dtype;
    for (const block of blocks) {
      const { firstPosition } = block;
      if (firstPosition >= one.next && firstPosition < one.receiving.promptTokens) {
        if (!one.blocks.has(firstPosition)) one.blocks.set(firstPosition, block);
      }
    }
    this.#advance(one);
  }

  placed(requestId: string, computed: number, fault: Fault | null): void {
    const one = this.#receptions.get(requestId);
    if (one === undefined) return;
    if (fault !== null) return this.#fail(one, fault);
    one.placingCount--;
    one.next = computed;
    if (one.placingCount === 0) one.given = computed; // whatever the blocks said of themselves
    if (computed >= one.receiving.promptTokens) one.done.resolve();
    this.#advance(one);
  }

  async finish(requestId: string, ticket: Ticket): Promise<void> {
    const one = this.#receptions.get(requestId);
    if (one === undefined || ticket.kind !== 'object') throw ended(requestId);
    const { promptTokens } = one.receiving;
    if (one.next >= promptTokens) return;
    const timer = this.#clock.after(limit.objectTransferMs, () => {
      const text = `KV of ${requestId} did not arrive within ${limit.objectTransferMs} ms`;
      this.#fail(one, new Fault('transfer', text, { reason: 'timeout' }));
    });
    try {
      this.#refuseGaps(one, ticket);
      one.dtype = ticket.dtype;
      this.announce(requestId, ticket.dtype, ticket.blocks);
      await one.done.promise;
    } catch (thrown) {
      this.#fail(one, toFault(thrown, 'transfer')); // nothing more is fetched
      throw thrown;
    } finally {
      timer.cancel();
    }
  }

  end(requestId: string): void {
    const one = this.#receptions.get(requestId);
    if (one === undefined) return;
    this.#receptions.delete(requestId);
    this.#fail(one, ended(requestId));
  }

  /** Prompts under way. */
  get count(): number {
    return this.#receptions.size;
  }

  /** A ticket whose blocks leave a hole would be waited on in vain. */
  #refuseGaps(one: Reception, { blocks, tokens }: ObjectTicket): void {
    const begins = new Map(blocks.map((block) => [block.firstPosition, block.count]));
    let at = one.next;
    for (let count = begins.get(at); count !== undefined && count > 0; count = begins.get(at)) {
      at += count;
    }
    if (at === one.receiving.promptTokens && tokens === at) return;
    throw new Fault('transfer', 'KV hand-over refused: its blocks are not of this prompt', {
      reason: 'truncated',
    });
  }

  /** Fetches what may be fetched ahead, and gives the engine what follows in the slot. */
  #advance(one: Reception): void {
    if (one.over.signal.aborted) return;
    const { dtype } = one;
    // What begins within a block that is in the slot by now is no block: it would stand in the way.
    for (const at of one.blocks.keys()) {
      if (at >= one.next) continue;
      one.blocks.delete(at);
      one.fetches.delete(at);
    }
    const ahead = [...one.blocks.keys()].sort((a, b) => a - b).slice(0, limit.objectAheadMax);
    for (const at of ahead) {
      const block = one.blocks.get(at);
      if (block === undefined || dtype === null || one.fetches.has(at)) continue;
      one.fetches.set(at, { frame: this.#fetch(one, dtype, block), isGiven: false });
    }
    this.#give(one);
  }

  /** The block that follows those that the engine has been given, as soon as it is here. */
  #give(one: Reception): void {
    const [fetched, block] = [one.fetches.get(one.given), one.blocks.get(one.given)];
    if (fetched === undefined || block === undefined || fetched.isGiven || one.isWaiting) return;
    one.isWaiting = true;
    fetched.frame.then(
      (frame) => {
        one.isWaiting = false;
        if (one.over.signal.aborted) return;
        fetched.isGiven = true;
        one.given = block.firstPosition + block.count;
        one.placingCount++;
        this.#deliver(one.receiving.requestId, frame);
        this.#give(one);
      },
      (error: unknown) => this.#fail(one, toFault(error, 'transfer')),
    );
  }

  #fetch(one: Reception, dtype: string, block: ObjectBlock): Promise<Uint8Array<ArrayBuffer>> {
    const { signal } = one.over;
    const { hash: name, nuid, bytes, chunkCount, digest } = block;
    const frame = this.#lanes.run(signal, async () => {
      const bucket = this.#bucketOf(dtype);
      if (bucket === null) {
        const text = `KV dtype ${dtype} is not known to this build; start both workers with the same release`;
        throw new Fault('mismatch', text, { reason: 'dtype' });
      }
      if (bytes > this.#frameBytesMax) {
        const text = `KV block of ${bytes} bytes, wanted ${this.#frameBytesMax} at most`;
        throw new Fault('transfer', text, { reason: 'digest' });
      }
      const info = { name, nuid, bytes, chunkCount, digest };
      return await bucket.get(info, { timeoutMs: limit.objectCallMs, signal });
    });
    frame.catch(() => undefined); // heard when its turn comes, or never when the request is over
    return frame;
  }

  #fail(one: Reception, fault: Fault): void {
    one.over.abort(fault);
    one.done.reject(fault);
    // The request may live on for minutes.
    one.blocks.clear();
    one.fetches.clear();
  }
}

function ended(requestId: string): Fault {
  return new Fault('cancelled', `the transfer of ${requestId} was ended`, { reason: 'cancelled' });
}
