// An engine that computes nothing: it says the same words to all, one step after another as a real one
// does, one token for each running sequence, so that all the time a request takes is the gateway's and
// the request plane's. The pace of its steps is told by the request: `seed` milliseconds, 0 at once.

import type { EngineCommand, EngineEvent, EnginePort, Load } from '../../protocol/engine.ts';
import type { Clock } from '../../std/clock.ts';

type Sequence = {
  readonly requestId: string;
  readonly maxTokens: number;
  sentCount: number;
  isPaused: boolean;
};

const slots = 4096;

export class EchoEngine implements EnginePort {
  readonly #clock: Clock;
  readonly #ids: readonly number[];
  /** By pace in milliseconds. */
  readonly #running = new Map<number, Set<Sequence>>();
  #handler: (event: EngineEvent) => void = () => undefined;
  #count = 0;

  /** `ids`: what it says, over and over. Each must be text by itself, or it would make no event. */
  constructor(clock: Clock, ids: readonly number[]) {
    this.#clock = clock;
    this.#ids = ids;
  }

  submit(command: EngineCommand): void {
    const { requestId } = command;
    if (command.type === 'generate') {
      const { sampling } = command;
      const sequence = { requestId, maxTokens: sampling.maxTokens, sentCount: 0, isPaused: false };
      // Like a real one's thread, it never answers before it was asked.
      queueMicrotask(() => {
        this.#handler({ type: 'admitted', requestId });
        this.#add(sampling.seed, sequence);
      });
    } else if (command.type === 'abort') this.#remove(requestId);
    else if (command.type === 'pause') this.#pause(requestId, command.isPaused);
  }

  listen(handler: (event: EngineEvent) => void): void {
    this.#handler = handler;
  }

  load(): Load {
    return {
      running: this.#count,
      waiting: 0,
      slots,
      freeTokens: 2 ** 31,
      pendingTokens: 0,
      decoding: this.#count,
      prefixKeys: [],
    };
  }

  #add(paceMs: number, sequence: Sequence): void {
    this.#count++;
    const group = this.#running.get(paceMs);
    if (group !== undefined) {
      group.add(sequence);
      return;
    }
    this.#running.set(paceMs, new Set([sequence]));
    this.#next(paceMs);
  }

  /** Steps keep their rhythm; one that is late is not made up for. */
  #next(paceMs: number, dueMs = this.#clock.nowMs()): void {
    const run = (): void => this.#step(paceMs, Math.max(dueMs, this.#clock.nowMs() - paceMs));
    if (paceMs === 0) setImmediate(run);
    else this.#clock.after(Math.max(0, dueMs - this.#clock.nowMs()), run);
  }

  #step(paceMs: number, atMs: number): void {
    const group = this.#running.get(paceMs);
    if (group === undefined) return;
    for (const sequence of group) {
      const { requestId, maxTokens, sentCount } = sequence;
      if (sequence.isPaused) continue;
      const id = this.#ids[sentCount % this.#ids.length] ?? 0;
      const finish = sentCount + 1 >= maxTokens ? 'length' : null;
      const timing = sentCount === 0 ? { timing: { queueMs: 0, prefillMs: 0 } } : {};
      sequence.sentCount++;
      if (finish !== null && group.delete(sequence)) this.#count--;
      this.#handler({ type: 'tokens', requestId, first: sentCount, ids: [id], finish, ...timing });
    }
    if (group.size === 0) this.#running.delete(paceMs);
    else this.#next(paceMs, atMs + paceMs);
  }

  #pause(requestId: string, isPaused: boolean): void {
    for (const group of this.#running.values()) {
      for (const sequence of group) {
        if (sequence.requestId === requestId) sequence.isPaused = isPaused;
      }
    }
  }

  #remove(requestId: string): void {
    for (const group of this.#running.values()) {
      for (const sequence of group) {
        if (sequence.requestId === requestId && group.delete(sequence)) this.#count--;
      }
    }
  }
}
