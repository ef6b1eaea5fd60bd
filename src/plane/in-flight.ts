// How many requests this gateway has on each worker now. Heartbeats come once a second; between two of
// them this is all that keeps a burst from going to one worker.

export class InFlight {
  readonly #counts = new Map<string, number>();

  readonly of = (worker: string): number => this.#counts.get(worker) ?? 0;

  add(worker: string): void {
    this.#counts.set(worker, this.of(worker) + 1);
  }

  remove(worker: string): void {
    const count = this.of(worker) - 1;
    if (count > 0) this.#counts.set(worker, count);
    else this.#counts.delete(worker);
  }
}
