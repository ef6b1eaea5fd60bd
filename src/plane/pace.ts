// One stream's pace: how long its worker may be silent, and when it rests. It rests while more waits for
// the client than the inbox should hold, and no silence is too long then; whether the worker is alive is
// what its heartbeats say. One that goes on may have to wait for a slot again, as at the beginning.

import { limit } from '../protocol/limit.ts';
import type { Clock } from '../std/clock.ts';
import type { Inbox } from './inbox.ts';
import type { Pauses } from './pauses.ts';
import { outageSilenceMs, Silence } from './watchdog.ts';

/** Longest wait for a first token, queue and prefill of a long prompt included. */
const firstTokenMs = 5 * limit.streamSilenceMs;

export type PaceOptions = {
  readonly clock: Clock;
  readonly pauses: Pauses;
  readonly inbox: Inbox;
  /** Who decodes. */
  readonly worker: string;
  readonly planeId: string;
  readonly onSilence: (silentMs: number) => void;
};

export class Pace {
  readonly #options: PaceOptions;
  readonly #silence: Silence;
  #isStreaming = false;
  #isPaused = false;
  /** There was an outage since the last chunk. */
  #wasAway = false;
  /** The next chunk brings the usual limit back. */
  #isLenient = false;

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#silence = new Silence(options.clock, firstTokenMs, options.onSilence);
  }

  /** The plane was away, and nothing has been heard of the worker since. */
  get wasAway(): boolean {
    return this.#wasAway;
  }

  /** A chunk has come. */
  note(): void {
    this.#silence.note();
    const wasOdd = this.#wasAway || this.#isLenient;
    this.#wasAway = false;
    if (!wasOdd || this.#isPaused) return;
    this.#isLenient = false;
    this.#silence.restart(limit.streamSilenceMs);
  }

  /** The first token of this try is here. Only now: what was begun elsewhere must show that it goes on. */
  begin(): void {
    this.#isStreaming = true;
    this.#silence.restart(limit.streamSilenceMs);
    this.#options.inbox.onFull = () => this.#steer();
    this.#steer();
  }

  /** The plane was away and is back. */
  onOutage(): void {
    this.#wasAway = true;
    if (!this.#isPaused) this.#silence.hurry(outageSilenceMs(this.#silence.longestMs));
  }

  end(): void {
    this.#silence.stop();
    if (!this.#isStreaming) return;
    this.#options.inbox.onFull = () => undefined;
    this.#options.pauses.end(this.#options.planeId);
  }

  #steer(): void {
    const { inbox, pauses, worker, planeId } = this.#options;
    if (inbox.isFull === this.#isPaused) return;
    this.#isPaused = inbox.isFull;
    pauses.say(worker, planeId, this.#isPaused);
    if (this.#isPaused) return this.#silence.stop();
    this.#isLenient = true;
    this.#silence.restart(this.#wasAway ? limit.outageSilenceMs : firstTokenMs);
  }
}
