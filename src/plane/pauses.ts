// Which requests rest because their clients read too slowly, told to the workers that have them. What
// counts is the latest word: each has a number, so one that comes late or twice changes nothing. One that
// was not answered is said again with the worker's next sign of life, until it is or the request has
// ended. A worker forgets it with the request, and a gateway's requests with the gateway.

import { type PauseMessage, protocolVersion } from '../protocol/message.ts';
import type { Subjects } from '../protocol/subject.ts';
import { toFault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import { askWorker } from './ask.ts';
import type { Bus } from './bus.ts';
import type { Registry } from './registry.ts';

type Word = {
  readonly worker: string;
  readonly isPaused: boolean;
  readonly turn: number;
  state: 'asking' | 'lost' | 'heard';
};

export type PausesPorts = {
  readonly bus: Bus;
  readonly log: Log;
  readonly subjects: Subjects;
  readonly registry: Registry;
};

export class Pauses {
  readonly #ports: PausesPorts;
  /** The latest, by plane id: each try has its own, and one worker that decodes for it. */
  readonly #words = new Map<string, Word>();

  constructor(ports: PausesPorts) {
    this.#ports = ports;
    ports.registry.onBeat((worker) => this.#again(worker));
  }

  /** Requests under way that rest, or have. */
  get count(): number {
    return this.#words.size;
  }

  say(worker: string, requestId: string, isPaused: boolean): void {
    const turn = (this.#words.get(requestId)?.turn ?? 0) + 1;
    const word: Word = { worker, isPaused, turn, state: 'lost' };
    this.#words.set(requestId, word);
    this.#ask(requestId, word);
  }

  /** It has ended: nothing more is to be said of it. */
  end(requestId: string): void {
    this.#words.delete(requestId);
  }

  #again(worker: string): void {
    for (const [requestId, word] of this.#words) {
      if (word.worker === worker && word.state === 'lost') this.#ask(requestId, word);
    }
  }

  #ask(requestId: string, word: Word): void {
    const { bus, subjects, log } = this.#ports;
    const { worker, isPaused, turn } = word;
    const v = protocolVersion;
    const message: PauseMessage = { v, type: 'pause', requestId, isPaused, turn };
    word.state = 'asking';
    askWorker({ bus, subjects, worker, op: 'pause', message }).then(
      () => {
        word.state = 'heard';
      },
      (error: unknown) => {
        word.state = 'lost';
        log.debug('pause not delivered', { worker, reason: toFault(error).message });
      },
    );
  }
}
