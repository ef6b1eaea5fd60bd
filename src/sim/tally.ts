// Sums over seeds: what clients got, what went wrong on the way, and what should never have been.

import type { FaultKind } from './fault-plan.ts';
import type { Verdict } from './simulate.ts';

export class Tally {
  failedCount = 0;
  #seedCount = 0;
  #requestCount = 0;
  #identicalCount = 0;
  #lostCount = 0;
  #eventCount = 0;
  #simulatedMs = 0;
  readonly #failedSeeds: number[] = [];
  readonly #ends = new Map<string, number>();
  readonly #faults = new Map<FaultKind, number>();
  readonly #seen = new Map<string, number>();

  add(verdict: Verdict, stray: readonly string[]): void {
    this.#seedCount++;
    this.#eventCount += verdict.eventCount;
    this.#simulatedMs += verdict.endMs;
    for (const { how, ids, ask } of verdict.calls) {
      this.#requestCount++;
      if (how === null) this.#lostCount++;
      else if (how !== 'finished') this.#ends.set(how, (this.#ends.get(how) ?? 0) + 1);
      else if (ids.join() === ask.expected?.ids.join()) this.#identicalCount++;
    }
    for (const [kind, count] of verdict.faults) {
      this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + count);
    }
    for (const [what, count] of verdict.seen) {
      this.#seen.set(what, (this.#seen.get(what) ?? 0) + count);
    }
    if (verdict.violations.length + stray.length === 0) return;
    this.failedCount++;
    this.#failedSeeds.push(verdict.seed);
  }

  /** What was gone through, and how often. */
  seen(): ReadonlyMap<string, number> {
    return this.#seen;
  }

  lines(): string[] {
    const list = (counts: ReadonlyMap<string, number>): string =>
      sorted(counts)
        .map(([name, count]) => `${name} ${count}`)
        .join(', ') || 'none';
    return [
      `seeds             ${this.#seedCount}, ${this.failedCount} failed`,
      `requests          ${this.#requestCount}`,
      `  answered        ${this.#identicalCount}, every token as expected`,
      `  named errors    ${list(this.#ends)}`,
      `  lost            ${this.#lostCount}`,
      `faults            ${list(this.#faults)}`,
      `went through      ${list(this.#seen)}`,
      `simulated         ${Math.round(this.#simulatedMs / 1000)} s, ${this.#eventCount} events`,
    ];
  }

  figures(): object {
    return {
      seeds: this.#seedCount,
      failed: this.failedCount,
      failedSeeds: this.#failedSeeds,
      requests: this.#requestCount,
      identical: this.#identicalCount,
      errors: Object.fromEntries(sorted(this.#ends)),
      lost: this.#lostCount,
      faults: Object.fromEntries(sorted(this.#faults)),
      seen: Object.fromEntries(sorted(this.#seen)),
      events: this.#eventCount,
      simulatedS: Math.round(this.#simulatedMs / 1000),
    };
  }
}

/** Most frequent first. */
function sorted(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
}
