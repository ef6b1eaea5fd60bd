// Request bodies on their way in, all together: what slow clients have sent of theirs lies in our memory
// until the rest comes. Within the bounds nobody is bothered. Beyond them the address that holds the most
// loses one: its oldest where there are too many, its largest where they are too large. So neither a client
// that trickles many nor the newcomers it would keep out decide who is served. Bodies that have only just
// begun are left alone: in a burst all have.

import { limit } from '../protocol/limit.ts';
import type { Clock, Timer } from '../std/clock.ts';

export type ArrivingBounds = {
  readonly countMax: number;
  readonly bytesMax: number;
  /** A body that takes longer than this may be given up. */
  readonly slowMs: number;
};

export const arrivingBounds: ArrivingBounds = {
  countMax: limit.slowBodyCountMax,
  bytesMax: limit.slowBodyBytesMax,
  slowMs: limit.slowBodyMs,
};

export type Arrival = {
  /** More of it than was announced is here. */
  grow(bytes: number): void;
  /** It is here, or given up. */
  leave(): void;
};

type Entry = {
  readonly address: string;
  readonly beganMs: number;
  readonly giveUp: () => void;
  bytes: number;
};

export class Arriving {
  readonly #clock: Clock;
  readonly #bounds: ArrivingBounds;
  /** The oldest first. */
  readonly #entries = new Set<Entry>();
  #bytes = 0;
  #timer: Timer | null = null;

  constructor(clock: Clock, bounds: ArrivingBounds = arrivingBounds) {
    this.#clock = clock;
    this.#bounds = bounds;
  }

  get count(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @param body.bytes as many as were announced. */
  enter(body: { readonly address: string; readonly bytes: number }, giveUp: () => void): Arrival {
    const entry: Entry = { ...body, beganMs: this.#clock.nowMs(), giveUp };
    this.#entries.add(entry);
    this.#bytes += entry.bytes;
    this.#look();
    return {
      grow: (bytes) => {
        if (!this.#entries.has(entry)) return;
        entry.bytes += bytes;
        this.#bytes += bytes;
        this.#look();
      },
      leave: () => this.#remove(entry),
    };
  }

  #look(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const { countMax, bytesMax, slowMs } = this.#bounds;
    while (this.#entries.size > countMax || this.#bytes > bytesMax) {
      const [oldest] = this.#entries;
      const ageMs = this.#clock.nowMs() - (oldest?.beganMs ?? 0);
      if (ageMs < slowMs) {
        this.#timer = this.#clock.after(slowMs - ageMs, () => this.#look());
        return;
      }
      const victim = this.#victim(this.#bytes > bytesMax);
      if (victim === undefined) return;
      this.#remove(victim);
      victim.giveUp();
    }
  }

  #victim(byBytes: boolean): Entry | undefined {
    const slow = this.#slow();
    const held = new Map<string, number>();
    for (const { address, bytes } of slow) {
      held.set(address, (held.get(address) ?? 0) + (byBytes ? bytes : 1));
    }
    const most = Math.max(...held.values());
    const its = slow.filter(({ address }) => held.get(address) === most);
    if (!byBytes) return its[0];
    const largest = its.reduce((size, { bytes }) => Math.max(size, bytes), 0);
    return its.find(({ bytes }) => bytes === largest);
  }

  #slow(): readonly Entry[] {
    const beforeMs = this.#clock.nowMs() - this.#bounds.slowMs;
    return [...this.#entries].filter(({ beganMs }) => beganMs <= beforeMs);
  }

  #remove(entry: Entry): void {
    if (this.#entries.delete(entry)) this.#bytes -= entry.bytes;
    if (this.#entries.size > 0) return;
    this.#timer?.cancel();
    this.#timer = null;
  }
}
