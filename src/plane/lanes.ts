// Results in order, lane by lane: what is added to a lane is handed on when it is there and everything
// added before it has been handed on. Lanes do not wait for each other; one without work does not exist.

type Lane = { tail: Promise<void>; count: number };

export class Lanes {
  readonly #lanes = new Map<string, Lane>();
  readonly #countMax: number;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  isBusy(key: string): boolean {
    return this.#lanes.has(key);
  }

  /** False when the lane is full: nothing was added. `work` must not reject, nor `next` throw. */
  add<T>(key: string, work: Promise<T>, next: (result: T) => void): boolean {
    const lane = this.#lanes.get(key) ?? { tail: Promise.resolve(), count: 0 };
    if (lane.count >= this.#countMax) return false;
    this.#lanes.set(key, lane);
    lane.count += 1;
    lane.tail = lane.tail.then(async () => {
      next(await work);
      lane.count -= 1;
      if (lane.count === 0) this.#lanes.delete(key);
    });
    return true;
  }

  /** Resolves when everything added so far has been handed on. */
  async idle(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map(({ tail }) => tail));
  }
}
