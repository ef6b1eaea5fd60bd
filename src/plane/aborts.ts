// Aborts that arrive. One that is lost would leave a worker computing for nobody, or a reservation waiting
// for KV that nobody sends, and others waiting behind it. So each is asked for again with the worker's
// next sign of life, until it is answered or the worker would have given up by itself. Unknown ids are
// fine to a worker: nothing comes of an abort that arrives twice.

import { limit } from '../protocol/limit.ts';
import { protocolVersion } from '../protocol/message.ts';
import type { Subjects } from '../protocol/subject.ts';
import type { Clock } from '../std/clock.ts';
import { toFault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import { askWorker } from './ask.ts';
import type { Bus } from './bus.ts';
import type { Registry } from './registry.ts';

/** Of one worker; beyond this many the oldest is left to the worker's own deadlines. */
const countMax = 10_000;
/** By then a worker has refused what it could not admit, and given up what it had reserved. */
const keepMs = limit.admitTimeoutMs + limit.reserveMs;

type Open = { readonly sinceMs: number; isAsking: boolean };

export type AbortsPorts = {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly subjects: Subjects;
  readonly registry: Registry;
};

export class Aborts {
  readonly #ports: AbortsPorts;
  /** Worker → request → not answered yet. */
  readonly #open = new Map<string, Map<string, Open>>();

  constructor(ports: AbortsPorts) {
    this.#ports = ports;
    ports.registry.onBeat((worker) => this.#again(worker));
  }

  /** Not answered yet, of workers that are alive. */
  get count(): number {
    let count = 0;
    for (const [worker, of] of this.#open) if (this.#ports.registry.has(worker)) count += of.size;
    return count;
  }

  send(worker: string, requestId: string): void {
    const of = this.#open.get(worker) ?? new Map<string, Open>();
    this.#open.set(worker, of);
    of.set(requestId, { sinceMs: this.#ports.clock.nowMs(), isAsking: false });
    const [oldest] = of.keys();
    if (of.size > countMax && oldest !== undefined) of.delete(oldest);
    this.#ask(worker, requestId);
  }

  #again(worker: string): void {
    const nowMs = this.#ports.clock.nowMs();
    for (const [other, of] of this.#open) {
      for (const [requestId, { sinceMs }] of of) {
        if (nowMs - sinceMs > keepMs) this.#forget(other, requestId);
      }
    }
    for (const requestId of [...(this.#open.get(worker)?.keys() ?? [])]) {
      this.#ask(worker, requestId);
    }
  }

  #ask(worker: string, requestId: string): void {
    const open = this.#open.get(worker)?.get(requestId);
    if (open === undefined || open.isAsking) return;
    open.isAsking = true;
    const { bus, subjects, log } = this.#ports;
    const message = { v: protocolVersion, type: 'abort', requestId };
    askWorker({ bus, subjects, worker, op: 'abort', message }).then(
      () => this.#forget(worker, requestId),
      (error: unknown) => {
        open.isAsking = false;
        log.debug('abort not delivered', { worker, reason: toFault(error).message });
      },
    );
  }

  #forget(worker: string, requestId: string): void {
    const of = this.#open.get(worker);
    of?.delete(requestId);
    if (of?.size === 0) this.#open.delete(worker);
  }
}
