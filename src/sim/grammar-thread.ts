// The thread of grammars of a simulated worker: production's desk on a lane of its own, so that masks are
// there in time, late, too late or never. The memory in which they lie is shared for real; a step of the
// engine happens at one instant here, so what comes within it is seen by the next one.

import { GrammarDesk } from '../grammar/desk.ts';
import { GrammarStore } from '../grammar/store.ts';
import type { GrammarThread } from '../role/grammar-port.ts';
import type { FromGrammar, ToGrammar } from '../role/grammar-thread.ts';
import type { Dice } from './dice.ts';
import { Lane } from './world.ts';

const hopMs = 0.01;

export type GrammarPace = {
  /** The engine's thread. */
  readonly home: Lane;
  readonly dice: Dice;
  /** It takes longer than anybody waits for, now and then. */
  readonly isSlow: () => boolean;
};

export class SimGrammarThread implements GrammarThread {
  onmessage: GrammarThread['onmessage'] = null;
  onerror: GrammarThread['onerror'] = null;
  readonly lane: Lane;
  readonly #pace: GrammarPace;
  readonly #store = new GrammarStore();
  readonly #desk = new GrammarDesk(this.#store, (answer) => this.#post(answer));

  constructor(pace: GrammarPace) {
    const { home, dice } = pace;
    this.#pace = pace;
    this.lane = new Lane(home.world, `${home.name}/grammar`, dice.between(0, 1e6));
    this.lane.busyUntilMs = home.nowMs();
    this.lane.spend(dice.skewed(1, 300));
    this.#afterwards(() => this.#post({ type: 'ready' }));
  }

  /** Sequences that it follows. */
  get placeCount(): number {
    return this.lane.isAlive ? this.#desk.placeCount : 0;
  }

  postMessage(message: ToGrammar): void {
    const copy = structuredClone(message);
    const { home } = this.#pace;
    const { world } = home;
    world.after(home.nowMs() - world.nowMs + hopMs, this.lane, () => this.#take(copy));
  }

  terminate(): void {
    this.lane.end();
  }

  /** It dies by itself. */
  crash(): void {
    if (!this.lane.isAlive) return;
    this.lane.end();
    const { home } = this.#pace;
    home.world.after(hopMs, home, () => this.onerror?.({ message: 'the simulated thread died' }));
  }

  #take(message: ToGrammar): void {
    if (message.type === 'vocabulary') this.#store.learn(message.vocabulary);
    if (message.type !== 'asks') return;
    for (const ask of message.asks) {
      this.lane.spend(this.#costMs(ask.type));
      this.#afterwards(() => this.#desk.take(ask));
    }
  }

  #costMs(type: 'open' | 'mask' | 'close'): number {
    const { dice, isSlow } = this.#pace;
    if (type === 'close') return 0;
    if (isSlow() && dice.chance(0.2)) return dice.between(100, 4000);
    return type === 'open' ? dice.skewed(0.1, 100) : dice.skewed(0.01, 20);
  }

  /** When what it is at is done. */
  #afterwards(act: () => void): void {
    const { world } = this.lane;
    world.after(this.lane.nowMs() - world.nowMs, this.lane, act);
  }

  #post(message: FromGrammar): void {
    const data = structuredClone(message);
    const { home } = this.#pace;
    const { world } = home;
    world.after(this.lane.nowMs() - world.nowMs + hopMs, home, () => this.onmessage?.({ data }));
  }
}
