// What this gateway has on each worker that the worker's last heartbeat cannot know of. Heartbeats come
// once a second; between two of them this is all that keeps a burst from going to one worker. A request
// counts on top until a heartbeat has come that is late enough to include it; one that a heartbeat has
// included and that has ended since is taken off again.

import type { Clock } from '../std/clock.ts';

/** What a request asks of a worker. */
export type Work = {
  /** Prompt tokens to compute there. */
  readonly prefillTokens: number;
  /** Tokens of KV to keep there, growth included. */
  readonly kvTokens: number;
};

export type Own = Work & {
  /** Requests that the last heartbeat does not include. */
  readonly count: number;
  /** Requests that it includes and that are over. */
  readonly endedCount: number;
};

export const idle: Own = { count: 0, endedCount: 0, prefillTokens: 0, kvTokens: 0 };

type Entry = { work: Work; readonly sinceMs: number; isTold: boolean };
type Seat = { readonly entries: Map<string, Entry>; own: Own };

export class InFlight {
  readonly #clock: Clock;
  readonly #lagMs: number;
  readonly #seats = new Map<string, Seat>();

  constructor(clock: Clock, lagMs: number) {
    this.#clock = clock;
    this.#lagMs = lagMs;
  }

  readonly of = (worker: string): Own => this.#seats.get(worker)?.own ?? idle;

  add(worker: string, request: string, work: Work): void {
    const seat = this.#seats.get(worker) ?? { entries: new Map(), own: idle };
    this.#seats.set(worker, seat);
    seat.entries.set(request, { work, sinceMs: this.#clock.nowMs(), isTold: false });
    seat.own = sum(seat.own, work, 1);
  }

  /** The prompt is computed; the stream goes on. */
  prefilled(worker: string, request: string): void {
    const seat = this.#seats.get(worker);
    const entry = seat?.entries.get(request);
    if (seat === undefined || entry === undefined) return;
    const { prefillTokens } = entry.work;
    if (prefillTokens === 0) return;
    entry.work = { ...entry.work, prefillTokens: 0 };
    if (!entry.isTold) seat.own = sum(seat.own, { prefillTokens, kvTokens: 0 }, -1, 0);
  }

  remove(worker: string, request: string): void {
    const seat = this.#seats.get(worker);
    const entry = seat?.entries.get(request);
    if (seat === undefined || entry === undefined) return;
    seat.entries.delete(request);
    if (entry.isTold) seat.own = { ...seat.own, endedCount: seat.own.endedCount + 1 };
    else seat.own = sum(seat.own, entry.work, -1);
    if (seat.entries.size === 0 && seat.own.endedCount === 0) this.#seats.delete(worker);
  }

  /** A heartbeat of this worker has just come. */
  heard(worker: string): void {
    const seat = this.#seats.get(worker);
    if (seat === undefined) return;
    const toldMs = this.#clock.nowMs() - this.#lagMs;
    let own = idle;
    for (const entry of seat.entries.values()) {
      entry.isTold ||= entry.sinceMs <= toldMs;
      if (!entry.isTold) own = sum(own, entry.work, 1);
    }
    seat.own = own;
    if (seat.entries.size === 0) this.#seats.delete(worker);
  }

  /** Requests counted on some worker. */
  get count(): number {
    return [...this.#seats.values()].reduce((sum, { entries }) => sum + entries.size, 0);
  }

  forget(worker: string): void {
    this.#seats.delete(worker);
  }
}

function sum(own: Own, work: Work, sign: 1 | -1, count: number = sign): Own {
  return {
    count: own.count + count,
    endedCount: own.endedCount,
    prefillTokens: own.prefillTokens + sign * work.prefillTokens,
    kvTokens: own.kvTokens + sign * work.kvTokens,
  };
}
