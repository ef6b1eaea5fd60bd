// An answer from its first token on, as one stream. Where the worker that generates it is lost, another
// goes on behind the tokens that are out: every choice of a token follows from the ids so far and the
// seed, so the stream is the one that the lost worker would have sent. How workers are found is the
// client's business; this says when, how often, and for how long it may be tried.

import type { Timing } from '../protocol/request.ts';
import type { Clock, Timer } from '../std/clock.ts';
import { Fault, type FaultCode, toFault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import type { Meter } from '../telemetry/metric.ts';
import type { Attempt } from './attempt.ts';
import { type Call, goOnBehind } from './call.ts';
import type { Inbox } from './inbox.ts';

/** The worker's or the plane's trouble; anything else another worker would say as well. */
const movable: ReadonlySet<FaultCode> = new Set<FaultCode>([
  'no_worker',
  'draining',
  'timeout',
  'plane',
  'transfer',
  'mismatch',
  'engine',
  'internal',
]);

export type MigrationOptions = {
  /** Workers that one answer may lose and still go on. */
  readonly migrationLimit: number;
  /** So long it may take until the next token is there. */
  readonly migrationWaitMs: number;
};

export type AnswerPorts = MigrationOptions & {
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** Finds workers and resolves when the next token is there. */
  readonly place: (call: Call) => Promise<Attempt>;
};

export class Answer {
  readonly inbox: Inbox;
  readonly #ports: AnswerPorts;
  readonly #call: Call;
  readonly #first: Attempt;
  #attempt: Attempt;
  #migrationCount = 0;

  /** @param first has its first token. @param onEnd whatever the end. */
  constructor(call: Call, first: Attempt, ports: AnswerPorts, onEnd: () => void) {
    this.inbox = first.inbox;
    this.#ports = ports;
    this.#call = call;
    this.#first = first;
    this.#attempt = first;
    this.#follow()
      .catch((error: unknown) => this.inbox.fail(toFault(error)))
      .finally(onEnd);
  }

  /** How the first token came, who serves it now, and how often that has changed. */
  timing(): Timing {
    const timing = this.#first.timing();
    if (this.#migrationCount === 0) return timing;
    const { generateWorker } = this.#attempt.timing();
    return { ...timing, generateWorker, migrations: this.#migrationCount };
  }

  cancel(fault: Fault): void {
    this.#call.scope.abort(fault);
  }

  async #follow(): Promise<void> {
    for (;;) {
      const fault = await this.#attempt.over;
      if (fault === null) return;
      this.#attempt = await this.#move(fault);
      this.#migrationCount++;
      this.#ports.meter.count('tdist_migrations_total', {});
    }
  }

  async #move(fault: Fault): Promise<Attempt> {
    const { migrationLimit, place, log } = this.#ports;
    const call = this.#call;
    if (call.scope.signal.aborted || !movable.has(fault.code)) throw fault;
    if (++call.lossCount > migrationLimit) throw exhausted(fault, migrationLimit);
    const { ids, culprit } = this.#attempt;
    const { requestId } = call.request;
    const from = culprit ?? this.#attempt.timing().generateWorker;
    const { code, message: reason } = fault;
    log.warn('Answer lost its worker', { request: requestId, from, code, reason });
    goOnBehind(call, this.#attempt);
    call.tried.clear();
    if (culprit !== null) call.tried.set(culprit, fault);
    const timer = this.#deadline(fault);
    try {
      const next = await place(call);
      const to = next.timing().generateWorker;
      const where = to === from ? 'the same' : 'another';
      const tokens = ids.length;
      log.warn(`Answer goes on at ${where} worker`, { request: requestId, from, to, tokens });
      return next;
    } finally {
      timer.cancel();
    }
  }

  #deadline(fault: Fault): Timer {
    const { clock, migrationWaitMs } = this.#ports;
    return clock.after(migrationWaitMs, () => {
      const text = `${fault.message}; no other worker went on within ${migrationWaitMs} ms`;
      this.#call.scope.abort(new Fault(fault.code, text));
    });
  }
}

/** It has lost as many workers as it may. */
export function exhausted(fault: Fault, migrationLimit: number): Fault {
  const text = `${fault.message}; --migration-limit ${migrationLimit} lets the answer move no more`;
  return new Fault(fault.code, text);
}
