// A worker's sign of life: every `limit.heartbeatMs`, at once when its state changes, when somebody
// asks `who`, and when the request plane is back after an outage.

import { limit } from '../protocol/limit.ts';
import type { Heartbeat } from '../protocol/message.ts';
import type { Subjects } from '../protocol/subject.ts';
import type { Clock, Timer } from '../std/clock.ts';
import { toFault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import type { Bus } from './bus.ts';
import { encode } from './codec.ts';

export type HeartbeatSender = {
  /** Publishes the present state; resolves when that is done (or cannot be). */
  announce(): Promise<void>;
  stop(): Promise<void>;
};

export function startHeartbeat(options: {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly subjects: Subjects;
  readonly snapshot: () => Heartbeat;
}): HeartbeatSender {
  const { bus, clock, log, subjects, snapshot } = options;
  let stopped = false;
  let timer: Timer | null = null;

  const announce = async () => {
    if (bus.trouble() !== null) return; // said again as soon as the plane is back
    const heartbeat = snapshot();
    try {
      // Whoever reads it may ask at once: what we serve must have reached the server before.
      await bus.flush();
      bus.publish(subjects.heartbeat(heartbeat.worker), encode(heartbeat));
    } catch (error) {
      log.debug('heartbeat not sent', { reason: toFault(error).message });
    }
  };
  const beat = () => {
    void announce();
    timer = clock.after(limit.heartbeatMs, beat);
  };
  const subscription = bus.subscribe(subjects.who, () => void announce());
  bus.onTrouble((trouble) => {
    if (!stopped && trouble === null) void announce();
  });
  beat();
  return {
    announce,
    stop: async () => {
      stopped = true;
      timer?.cancel();
      await subscription.stop();
    },
  };
}
