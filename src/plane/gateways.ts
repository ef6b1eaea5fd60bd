// Gateways' signs of life, both ends. A gateway that died cannot abort what it asked for: workers would
// decode to nobody, and reservations wait for KV that never comes. So a worker gives up the work of a
// gateway that said goodbye, or that it has heard before and then nothing of for
// `limit.gatewaySilenceMs`. Never that of one unheard from the start: an older release says nothing.

import { limit } from '../protocol/limit.ts';
import { type GatewayMessage, gatewaySchema, protocolVersion } from '../protocol/message.ts';
import type { Subjects } from '../protocol/subject.ts';
import type { Clock, Timer } from '../std/clock.ts';
import { toFault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import type { Bus, Ending } from './bus.ts';
import { decode } from './codec.ts';
import { startBeat } from './heartbeat.ts';
import type { Registry } from './registry.ts';

/** More gateways than this are not watched. */
const gatewayCountMax = 1024;
/** A look later than this means that our own process stood still: heartbeats may lie unread. */
const stallMs = 250;

type Ports = {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly subjects: Subjects;
};

/**
 * A gateway's own heartbeat; ending it says goodbye. A worker that joins hears it at once, before it is
 * asked anything: else the work of a gateway that dies within a second would stay with it.
 */
export function startGatewayHeartbeat(
  options: Ports & { readonly gateway: string; readonly registry: Registry },
): Ending {
  const { subjects, gateway, registry } = options;
  let state: GatewayMessage['state'] = 'alive';
  const said = (): GatewayMessage => ({ v: protocolVersion, type: 'gateway', gateway, state });
  const subject = subjects.gateway(gateway);
  const heartbeat = startBeat({ ...options, subject, said, asked: null });
  const unwatch = registry.onChange(() => void heartbeat.announce());
  return {
    stop: async () => {
      if (state === 'gone') return;
      state = 'gone';
      unwatch();
      await heartbeat.announce();
      await heartbeat.stop();
    },
  };
}

/**
 * A worker's watch. `abort` ends all work for a gateway and says how much that was; one that was only
 * silent may be there after all.
 */
export function watchGateways(
  options: Ports & { readonly abort: (gateway: string, isSilent: boolean) => number },
): Ending {
  const { bus, clock, log, subjects, abort } = options;
  const heardMs = new Map<string, number>();
  let timer: Timer | null = null;
  let stopped = false;

  const lose = (gateway: string, silentMs: number | null) => {
    heardMs.delete(gateway);
    const why = silentMs === null ? 'said goodbye' : `silent for ${silentMs} ms`;
    const aborted = abort(gateway, silentMs !== null);
    if (aborted === 0) log.debug('gateway left', { gateway, why });
    else log.warn('Gateway lost, its requests are given up', { gateway, why, aborted });
  };
  const look = (dueMs: number) => {
    timer = null;
    const nowMs = clock.nowMs();
    if (bus.trouble() === null && nowMs - dueMs <= stallMs) {
      for (const [gateway, atMs] of [...heardMs]) {
        const silentMs = nowMs - atMs;
        if (silentMs >= limit.gatewaySilenceMs) lose(gateway, silentMs);
      }
    }
    arm();
  };
  const arm = () => {
    if (stopped || timer !== null || heardMs.size === 0) return;
    const dueMs = clock.nowMs() + limit.heartbeatMs;
    timer = clock.after(limit.heartbeatMs, () => look(dueMs));
  };
  const hear = ({ gateway, state }: GatewayMessage) => {
    if (state === 'gone') return lose(gateway, null);
    if (!heardMs.has(gateway) && heardMs.size >= gatewayCountMax) return;
    heardMs.set(gateway, clock.nowMs());
    arm();
  };

  const subscription = bus.subscribe(subjects.gateways, (payload, subject) => {
    try {
      hear(decode(gatewaySchema, payload, 'gateway'));
    } catch (error) {
      log.debug('gateway heartbeat ignored', { subject, reason: toFault(error).message });
    }
  });
  // While we were away nobody could be heard: each begins its silence anew.
  bus.onTrouble(() => {
    for (const gateway of heardMs.keys()) heardMs.set(gateway, clock.nowMs());
  });
  return {
    stop: async () => {
      stopped = true;
      timer?.cancel();
      await subscription.stop();
    },
  };
}
