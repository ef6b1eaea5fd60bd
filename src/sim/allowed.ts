// Which errors a client may see, and what must have happened for it. Everything else is a violation: an
// error without its cause as much as a wrong token. Made to be tightened: a code that is taken away
// from a fault here must never be seen with it again.

import type { FaultKind } from './fault-plan.ts';

/** Workers come and go, or seem to. */
const lostWorkers: readonly FaultKind[] = [
  'worker_crash',
  'crash_at',
  'leave',
  'drain',
  'freeze',
  'delay',
  'reset',
  'partition',
  'nats_restart',
];
/** The request plane breaks. */
const lostPlane: readonly FaultKind[] = ['reset', 'partition', 'nats_restart', 'twice', 'late'];

export const allowed: Readonly<Record<string, readonly FaultKind[]>> = {
  gateway_died: ['gateway_crash'],
  /** Nobody is there to ask, at the start or where an answer has lost its worker, until time is up. */
  no_worker: [...lostWorkers, 'late', 'twice'],
  /** In the queue, or of a stream that went silent. */
  timeout: [...lostWorkers, ...lostPlane, 'load', 'slow'],
  /** A few wait already, and nobody takes them. */
  queue_full: [...lostWorkers, 'load', 'slow', 'runner_fail'],
  engine: ['runner_fail', 'grammar_crash'],
  /** The second of two is refused, and may be heard of first; a grammar that takes too long is. */
  invalid_request: ['twice', 'late', 'grammar_slow'],
};
