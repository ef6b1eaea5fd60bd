// Requests that workers turned away for lack of room. None of them asks again by itself: a worker's
// door is knocked at when it may have room (something of ours ended there, it took another request,
// its heartbeat came), by one request, the one that came first. Its success lets the next one knock,
// its refusal nobody: a thousand waiting requests do not become a thousand questions.

import type { Fault } from '../std/fault.ts';

/** A request, from its first refusal for lack of room until it is served or given up. */
export type Caller = {
  /** Workers that it was given to in vain. */
  readonly tried: Map<string, Fault>;
  /** Set while it waits for something to change. */
  wake: (() => void) | null;
};

export class Doors {
  /** In the order of their first refusal. */
  readonly #callers = new Set<Caller>();

  /** Any number of times: the place in the order stays. */
  join(caller: Caller): void {
    this.#callers.add(caller);
  }

  leave(caller: Caller): void {
    this.#callers.delete(caller);
  }

  get count(): number {
    return this.#callers.size;
  }

  /**
   * This worker may have room: whoever has waited longest for it tries again. Where all who want it
   * are just asking elsewhere, the first of them comes here next.
   */
  knock(worker: string): void {
    const turnedAway = [...this.#callers].filter(({ tried }) => isFull(tried.get(worker)));
    const caller = turnedAway.find(({ wake }) => wake !== null) ?? turnedAway[0];
    caller?.tried.delete(worker);
    caller?.wake?.();
  }
}

/** Full now, and not at fault. */
export function isFull(fault: Fault | undefined): boolean {
  return fault?.code === 'overloaded';
}
