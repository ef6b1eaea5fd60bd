// Turns the engine's crank in its own thread: steps as long as there is work, and between two steps
// lets the messages in that came meanwhile. Idle, it does nothing at all.

import type { EngineEvent, Load } from '../protocol/engine.ts';

export type Crank = {
  /** One step; false when there was nothing to do. */
  step(): boolean;
  load(): Load;
};

/** Collects a step's events and hands them over together, with the load they left behind. */
export class Outbox {
  readonly #post: (events: EngineEvent[], load: Load) => void;
  readonly #load: () => Load;
  #events: EngineEvent[] = [];
  #touched = false;

  constructor(load: () => Load, post: (events: EngineEvent[], load: Load) => void) {
    this.#load = load;
    this.#post = post;
  }

  put(event: EngineEvent): void {
    this.#events.push(event);
  }

  /** The load has changed, perhaps without an event: an abort makes none, nor a prompt's middle. */
  touch(): void {
    this.#touched = true;
  }

  flush(): void {
    if (this.#events.length === 0 && !this.#touched) return;
    this.#touched = false;
    const events = this.#events;
    this.#events = [];
    this.#post(events, this.#load());
  }
}

/** `wake` after every command; the loop runs until the engine is idle again. */
export class Loop {
  readonly #crank: Crank;
  readonly #outbox: Outbox;
  readonly #nextTurn: (run: () => void) => void;
  #running = false;

  /** @param nextTurn calls back after pending messages were delivered (setImmediate). */
  constructor(crank: Crank, outbox: Outbox, nextTurn: (run: () => void) => void) {
    this.#crank = crank;
    this.#outbox = outbox;
    this.#nextTurn = nextTurn;
  }

  wake(): void {
    if (this.#running) return;
    this.#running = true;
    this.#nextTurn(this.#turn);
  }

  readonly #turn = (): void => {
    const worked = this.#crank.step();
    if (worked) this.#outbox.touch();
    this.#outbox.flush();
    if (worked) this.#nextTurn(this.#turn);
    else this.#running = false;
  };
}
