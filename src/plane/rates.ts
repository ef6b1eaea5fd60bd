// What this gateway has measured, from the timing that workers send with their tokens: how fast each
// worker prefills, what KV costs between two workers, what the messages themselves cost.

import { limit } from '../protocol/limit.ts';
import type { Heartbeat } from '../protocol/message.ts';
import type { Ticket } from '../protocol/ticket.ts';
import type { Clock } from '../std/clock.ts';
import type { Fit } from './line.ts';
import { at, Measured } from './measured.ts';

/** The router's view of it. */
export type RateView = {
  /** ms of a prompt over its tokens that are not cached. */
  prefill(worker: Heartbeat): Fit;
  /** ms to move so many bytes of KV, export and import together. */
  transferMs(context: Heartbeat, generate: Heartbeat, path: Ticket['kind'], bytes: number): number;
  /** ms from the decision to token 0 that are neither queue nor prefill. */
  hopMs(route: HopRoute): number;
};
export type HopRoute = 'disaggregated' | 'local';

const mebibyte = 2 ** 20;
/** Shorter prompts than this are mostly overhead and say little of long ones. */
const firmTokens = 32;
/** Share of the way that a low mark rises towards a higher measurement. */
const rise = 0.05;

const unmeasuredPrefill: Fit = { base: 0, slope: 1000 / limit.prefillTokensPerSDefault };
const unmeasuredTransfer: Readonly<Record<Ticket['kind'], Fit>> = {
  shm: { base: limit.transferMsDefault, slope: limit.transferMsPerMiBDefault },
  object: { base: limit.objectMsDefault, slope: limit.objectMsPerMiBDefault },
};

/** Unmeasured: two messages more where two workers take part. */
const hopMsDefaults: Readonly<Record<HopRoute, number>> = {
  disaggregated: 2 * limit.hopMsDefault,
  local: limit.hopMsDefault,
};

export class Rates implements RateView {
  readonly #prefill: Measured;
  readonly #transfer: Measured;
  readonly #clock: Clock;
  readonly #hops: Record<HopRoute, { ms: number; notedMs: number } | null> = {
    disaggregated: null,
    local: null,
  };

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#prefill = new Measured(clock, limit.rateKeepMs, firmTokens);
    this.#transfer = new Measured(clock, limit.rateKeepMs);
  }

  notePrefill(worker: Heartbeat, tokens: number, ms: number): void {
    if (tokens > 0 && ms > 0) this.#prefill.note(worker.worker, poolsOf(worker), tokens, ms);
  }

  noteTransfer(
    context: Heartbeat,
    generate: Heartbeat,
    path: Ticket['kind'],
    { bytes, ms }: { readonly bytes: number; readonly ms: number },
  ): void {
    if (bytes <= 0 || ms <= 0) return;
    this.#transfer.note(pairKey(context, generate), [path], bytes / mebibyte, ms);
  }

  /** A low mark, since whatever else took time (a full worker, a busy gateway) only adds. */
  noteHop(route: HopRoute, ms: number): void {
    const low = this.hopMs(route);
    const next = ms < low ? Math.max(0, ms) : low + (ms - low) * rise;
    this.#hops[route] = { ms: next, notedMs: this.#clock.nowMs() };
  }

  prefill(worker: Heartbeat): Fit {
    return this.#prefill.of(worker.worker, poolsOf(worker)) ?? unmeasuredPrefill;
  }

  transferMs(context: Heartbeat, generate: Heartbeat, path: Ticket['kind'], bytes: number): number {
    const fit = this.#transfer.of(pairKey(context, generate), [path]) ?? unmeasuredTransfer[path];
    return at(fit, bytes / mebibyte);
  }

  hopMs(route: HopRoute): number {
    const known = this.#hops[route];
    // What was measured long ago may have been a bad time: the route gets a new trial.
    const isFresh = known !== null && this.#clock.nowMs() - known.notedMs <= limit.rateKeepMs;
    return isFresh ? known.ms : hopMsDefaults[route];
  }

  forget(worker: string): void {
    this.#prefill.forget((key) => key === worker);
    this.#transfer.forget((key) => key.split(' ').includes(worker));
  }
}

/** First those with the same work, then all of the model: a prompt shares a generate worker with streams. */
function poolsOf({ role, card }: Heartbeat): readonly string[] {
  return [`${card.modelDigest} ${role}`, card.modelDigest];
}

function pairKey(context: Heartbeat, generate: Heartbeat): string {
  return `${context.worker} ${generate.worker}`;
}
