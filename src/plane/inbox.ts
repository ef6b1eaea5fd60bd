// A bounded queue between the bus, which pushes token deltas when they come, and the gateway, which
// takes them when its client reads. It says when so much waits that the worker should rest, and when it
// should go on; between the two lies a distance, or a slow reader would have it told at each token. A
// worker that does not rest (an older release) loses the generation at last, not us memory.

import { limit } from '../protocol/limit.ts';
import type { TokenDelta, TokenLogprobs } from '../protocol/request.ts';
import { assert, type Fault } from '../std/fault.ts';

/** Deltas that may wait for a slow reader of a worker that does not rest. */
const deltaCountMax = 16_384;
/** Places of read entries are dropped so many at a time: a shift per entry would copy the queue. */
const compactAt = 64;
/** About what leaves for a delta, and for each token in its logprobs. */
const deltaBytes = 256;
const logprobBytes = 96;

/** From where on the worker should rest. */
export type InboxBound = { readonly deltaMax: number; readonly bytesMax: number };

export const usualBound: InboxBound = {
  deltaMax: limit.waitingDeltaMax,
  bytesMax: limit.waitingBytesMax,
};

export class Inbox {
  /** Called when `isFull` has changed. */
  onFull: () => void = () => undefined;
  readonly #bound: InboxBound;
  readonly #queue: (TokenDelta | null)[] = [];
  #head = 0;
  #bytes = 0;
  #isFull = false;
  #waiting: { resolve: (delta: TokenDelta | null) => void; reject: (fault: Fault) => void } | null =
    null;
  #fault: Fault | null = null;
  #ended = false;

  constructor(bound: InboxBound = usualBound) {
    this.#bound = bound;
  }

  /** More waits than should; stays so until most of it is read. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Deltas that wait for the reader. */
  get count(): number {
    return this.#queue.length - this.#head;
  }

  /** False when not even this one can wait: nothing was taken. */
  push(delta: TokenDelta): boolean {
    if (this.#ended || this.#fault !== null) return true;
    if (this.count >= deltaCountMax) return false;
    this.#ended = delta.finish !== null;
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting !== null) {
      waiting.resolve(delta);
      return true;
    }
    this.#queue.push(delta);
    this.#bytes += bytesOf(delta);
    const { deltaMax, bytesMax } = this.#bound;
    // With the last one here there is nobody left to tell.
    if (this.#ended) return true;
    if (this.count > deltaMax || this.#bytes > bytesMax) this.#turn(true);
    return true;
  }

  /** What was pushed before is still delivered, then the fault. */
  fail(fault: Fault): void {
    if (this.#ended || this.#fault !== null) return;
    this.#fault = fault;
    this.#waiting?.reject(fault);
    this.#waiting = null;
  }

  /** The next delta, null after the last one. One reader. */
  next(): Promise<TokenDelta | null> {
    const delta = this.#queue[this.#head];
    if (delta != null) {
      this.#drop(delta);
      return Promise.resolve(delta);
    }
    if (this.#fault !== null) return Promise.reject(this.#fault);
    if (this.#ended) return Promise.resolve(null);
    assert(this.#waiting === null, 'an inbox has one reader');
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  #drop(delta: TokenDelta): void {
    // A reader that is always a little behind must not keep what it has read.
    this.#queue[this.#head++] = null;
    this.#bytes -= bytesOf(delta);
    if (this.#head === this.#queue.length || this.#head >= compactAt) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
    const share = limit.waitingResumePercent / 100;
    const { deltaMax, bytesMax } = this.#bound;
    if (this.count <= deltaMax * share && this.#bytes <= bytesMax * share) this.#turn(false);
  }

  #turn(isFull: boolean): void {
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    this.onFull();
  }
}

function bytesOf({ logprobs = [], scores = [] }: TokenDelta): number {
  const entries = (all: readonly TokenLogprobs[]): number =>
    all.reduce((sum, { top }) => sum + top.length + 1, 0);
  return deltaBytes + logprobBytes * (entries(logprobs) + entries(scores));
}
