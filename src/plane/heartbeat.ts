// Signs of life: every `limit.heartbeatMs`, at once when the sender's state changes and when the
// request plane is back after an outage; a worker's also when somebody asks `who`.

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
  /** After each one that was sent; what the worker serves has reached the server before. */
  readonly onSent?: (heartbeat: Heartbeat) => void;
}): HeartbeatSender {
  const { subjects, snapshot } = options;
  const subject = subjects.heartbeat(snapshot().worker);
  return startBeat({ ...options, subject, said: snapshot, asked: subjects.who });
}

export function startBeat<Message extends object>(options: {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly subject: string;
  readonly said: () => Message;
  /** Subject on which somebody asks for it; null: nobody does. */
  readonly asked: string | null;
  readonly onSent?: (message: Message) => void;
}): HeartbeatSender {
  const { bus, clock, log, subject, said, asked, onSent } = options;
  let stopped = false;
  let timer: Timer | null = null;

  const announce = async () => {
    if (bus.trouble() !== null) return; // said again as soon as the plane is back
    const message = said();
    try {
      // Whoever reads it may ask at once: what we serve must have reached the server before. Of one whom
      // nobody asks it precedes what it asks itself.
      if (asked !== null) await bus.flush();
      bus.publish(subject, encode(message));
      onSent?.(message);
    } catch (error) {
      log.debug('heartbeat not sent', { reason: toFault(error).message });
    }
  };
  const beat = () => {
    void announce();
    timer = clock.after(limit.heartbeatMs, beat);
  };
  const subscription = asked === null ? null : bus.subscribe(asked, () => void announce());
  bus.onTrouble((trouble) => {
    if (!stopped && trouble === null) void announce();
  });
  beat();
  return {
    announce,
    stop: async () => {
      stopped = true;
      timer?.cancel();
      await subscription?.stop();
    },
  };
}
