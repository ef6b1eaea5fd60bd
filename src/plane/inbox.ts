// A bounded queue between the bus, which pushes token deltas when they come, and the gateway, which
// takes them when its client reads. A reader too slow for the bound loses the generation, not us memory.

import type { TokenDelta } from '../protocol/request.ts';
import { assert, type Fault } from '../std/fault.ts';

/** Deltas that may wait for a slow reader. */
const deltaCountMax = 16_384;
/** Read entries are dropped so many at a time: a shift per entry would copy the queue. */
const compactAt = 1024;

export class Inbox {
  readonly #countMax: number;
  readonly #queue: TokenDelta[] = [];
  #head = 0;
  #waiting: { resolve: (delta: TokenDelta | null) => void; reject: (fault: Fault) => void } | null =
    null;
  #fault: Fault | null = null;
  #ended = false;

  constructor(countMax: number = deltaCountMax) {
    this.#countMax = countMax;
  }

  /** False when the queue is full: nothing was taken. */
  push(delta: TokenDelta): boolean {
    if (this.#ended || this.#fault !== null) return true;
    if (this.#queue.length - this.#head >= this.#countMax) return false;
    this.#ended = delta.finish !== null;
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting === null) this.#queue.push(delta);
    else waiting.resolve(delta);
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
    if (delta !== undefined) {
      this.#head += 1;
      if (this.#head === this.#queue.length || this.#head >= compactAt) {
        this.#queue.splice(0, this.#head);
        this.#head = 0;
      }
      return Promise.resolve(delta);
    }
    if (this.#fault !== null) return Promise.reject(this.#fault);
    if (this.#ended) return Promise.resolve(null);
    assert(this.#waiting === null, 'an inbox has one reader');
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }
}
