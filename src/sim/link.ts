// A process's way to the NATS server: how long messages take, and whether anything gets through.

import type { Dice } from './dice.ts';

export class Link {
  readonly #dice: Dice;
  delayMinMs = 0.05;
  delayMaxMs = 0.5;
  /** Nothing gets through: what was sent waits to be sent again, as TCP does. */
  isCut = false;
  /** Beyond what NATS does, in rare seeds: a message comes twice, or out of its turn. */
  oddShare = 0;

  constructor(dice: Dice) {
    this.#dice = dice;
  }

  delayMs(): number {
    return this.#dice.skewed(this.delayMinMs, this.delayMaxMs);
  }

  /** What happens to one message. */
  oddity(): 'none' | 'twice' | 'late' {
    if (this.oddShare === 0 || !this.#dice.chance(this.oddShare)) return 'none';
    return this.#dice.chance(0.5) ? 'twice' : 'late';
  }

  /** Of one that comes out of its turn. */
  latenessMs(): number {
    return this.#dice.between(1, 60);
  }
}
