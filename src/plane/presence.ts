// Feeds the registry from the bus: heartbeats in, expiry by clock, and a `who` at the start and after
// every outage, so that a gateway knows the cluster within one round trip.

import { limit } from '../protocol/limit.ts';
import { heartbeatSchema, protocolVersion } from '../protocol/message.ts';
import type { Subjects } from '../protocol/subject.ts';
import type { Clock, Timer } from '../std/clock.ts';
import { toFault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import type { Bus, Ending } from './bus.ts';
import { decode, encode } from './codec.ts';
import type { Registry } from './registry.ts';

/** A timer later than this means that our own process stood still, not that workers died. */
const stallMs = 250;

export function watchPresence(options: {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly subjects: Subjects;
  readonly registry: Registry;
}): Ending {
  const { bus, clock, log, subjects, registry } = options;
  let timer: Timer | null = null;
  let dueMs = 0;
  let stopped = false;

  const arm = (atMs: number) => {
    dueMs = atMs;
    timer = clock.after(Math.max(0, atMs - clock.nowMs()), fire);
  };
  const fire = () => {
    timer = null;
    const nowMs = clock.nowMs();
    // Heartbeats that came while we stood still are still unread: read them first.
    if (nowMs - dueMs > stallMs) return arm(nowMs + limit.heartbeatMs);
    registry.expire();
    rearm();
  };
  const rearm = () => {
    const nextMs = registry.nextExpiryMs();
    if (!stopped && timer === null && nextMs !== null) arm(nextMs);
  };
  const askWho = () => {
    if (stopped || bus.trouble() !== null) return;
    bus.publish(subjects.who, encode({ v: protocolVersion, type: 'who' }));
  };

  const subscription = bus.subscribe(subjects.heartbeats, (payload, subject) => {
    try {
      registry.observe(decode(heartbeatSchema, payload, 'heartbeat'));
    } catch (error) {
      log.debug('heartbeat ignored', { subject, reason: toFault(error).message });
    }
    rearm();
  });
  bus.onTrouble(askWho);
  askWho();
  return {
    stop: async () => {
      stopped = true;
      timer?.cancel();
      await subscription.stop();
    },
  };
}
