// What probes ask. Readiness: could a request be served now? Liveness: does this process answer?
// Liveness never depends on workers, or a supervisor would restart a healthy gateway for their sake.

import { Fault } from '../std/fault.ts';
import { unreadyReason } from './catalog.ts';
import type { Gateway } from './gateway.ts';

export function readiness(gateway: Gateway): Response {
  const reason = unreadyReason(gateway);
  if (reason !== null) throw new Fault(gateway.gate.draining ? 'draining' : 'no_worker', reason);
  return Response.json({ status: 'ready' });
}

export function liveness(): Response {
  return Response.json({ status: 'live' });
}

export function version(gateway: Gateway): Response {
  return Response.json({ version: gateway.version });
}
