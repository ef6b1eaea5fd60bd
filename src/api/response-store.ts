// Responses that a later request may go on from, or ask for again. In memory of this gateway alone,
// bounded by number, size and age; those used least lately go first. Kept as text, so that their size is
// what it says. Whoever sends other credentials than the one who made a response does not find it.

import * as v from 'valibot';
import { limit } from '../protocol/limit.ts';
import type { Clock } from '../std/clock.ts';
import { digest } from '../std/hash.ts';
import { keptItemsSchema, type ResponseItem } from './response-items.ts';

export type KeptResponse = {
  /** As it was answered. */
  readonly body: Readonly<Record<string, unknown>>;
  /** The whole conversation up to and with it, but for instructions. */
  readonly items: readonly ResponseItem[];
  /** So many of the items are what it answers. */
  readonly inputCount: number;
};

const keptSchema = v.object({
  body: v.record(v.string(), v.unknown()),
  items: keptItemsSchema,
  inputCount: v.number(),
});

type Entry = { readonly owner: string; readonly text: string; readonly untilMs: number };

export type StoreBounds = {
  readonly countMax: number;
  readonly bytesMax: number;
  readonly keepMs: number;
};

const defaults: StoreBounds = {
  countMax: limit.responseCountMax,
  bytesMax: limit.responseBytesMax,
  keepMs: limit.responseKeepMs,
};

export class ResponseStore {
  readonly #clock: Clock;
  readonly #bounds: StoreBounds;
  /** Used least lately first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(clock: Clock, bounds: StoreBounds = defaults) {
    this.#clock = clock;
    this.#bounds = bounds;
  }

  /** Answered items are as good as a client's: what only an answer has is left out when it is read. */
  put(
    id: string,
    owner: string,
    response: Pick<KeptResponse, 'inputCount'> & {
      readonly body: object;
      readonly items: readonly object[];
    },
  ): void {
    this.#sweep();
    const text = JSON.stringify(response);
    if (bytesOf(text) > this.#bounds.bytesMax) return;
    this.#drop(id);
    const untilMs = this.#clock.nowMs() + this.#bounds.keepMs;
    this.#entries.set(id, { owner, text, untilMs });
    this.#bytes += bytesOf(text);
    for (const oldest of this.#entries.keys()) {
      const { countMax, bytesMax } = this.#bounds;
      if (this.#entries.size <= countMax && this.#bytes <= bytesMax) break;
      this.#drop(oldest);
    }
  }

  /** Null: there is none, or no longer. */
  get(id: string, owner: string): KeptResponse | null {
    this.#sweep();
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.owner !== owner) return null;
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    return v.parse(keptSchema, JSON.parse(entry.text));
  }

  /** Whether there was one. */
  delete(id: string, owner: string): boolean {
    this.#sweep();
    return this.#entries.get(id)?.owner === owner && this.#drop(id);
  }

  #sweep(): void {
    const nowMs = this.#clock.nowMs();
    for (const [id, { untilMs }] of this.#entries) if (untilMs <= nowMs) this.#drop(id);
  }

  #drop(id: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    this.#bytes -= bytesOf(entry.text);
    return this.#entries.delete(id);
  }
}

/** One name for each set of credentials, and one for none. */
export function ownerOf(headers: Headers): string {
  return digest(headers.get('authorization') ?? '', '\0', headers.get('x-api-key') ?? '');
}

/** At most: texts of Latin letters alone take half. */
function bytesOf(text: string): number {
  return text.length * 2;
}
