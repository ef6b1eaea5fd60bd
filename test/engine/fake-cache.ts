// A prefix cache over fake runners: blocks of four tokens by the tokens up to their end. Runners that
// are given one map share it, as workers of a host share arenas.

import type { KvCache } from '../../src/kv/transfer.ts';
import type { FakeRunner } from './fake-runner.ts';

const blockTokens = 4;

export class FakeCache implements KvCache {
  /** Tokens found here so far, instead of computed. */
  restoredTokens = 0;
  /** Asked for each block that is found; true: it turns out broken when it is read. */
  isBroken: () => boolean = () => false;
  readonly #runner: FakeRunner;
  /** Name → rows, least recent first. */
  readonly #blocks: Map<string, readonly number[]>;
  readonly #roomFor: number;

  constructor(
    runner: FakeRunner,
    options: { blocks?: Map<string, readonly number[]>; roomFor?: number } = {},
  ) {
    this.#runner = runner;
    this.#blocks = options.blocks ?? new Map();
    this.#roomFor = options.roomFor ?? 50;
  }

  restore(request: { ids: readonly number[]; slot: number; from: number }): number {
    const { ids, slot, from } = request;
    const known = [...this.#runner.rows(slot, from)];
    for (let end = from + blockTokens; end < ids.length; end += blockTokens) {
      const rows = this.#blocks.get(ids.slice(0, end).join());
      if (rows === undefined) break;
      if (this.isBroken()) {
        this.#runner.setRows(slot, [...known, ...rows.toReversed()]); // of no use to anybody
        return known.length;
      }
      known.push(...rows);
    }
    if (known.length > from) this.#runner.setRows(slot, known);
    this.restoredTokens += known.length - from;
    return known.length;
  }

  keep(request: { ids: readonly number[]; slot: number; computed: number }): void {
    const { ids, slot, computed } = request;
    const rows = this.#runner.rows(slot, computed);
    if (rows.join() !== ids.slice(0, computed).join()) {
      this.#runner.violations.push(`slot ${slot} kept for what it does not hold`);
    }
    for (let end = blockTokens; end <= computed; end += blockTokens) {
      const name = ids.slice(0, end).join();
      this.#blocks.delete(name);
      this.#blocks.set(name, rows.slice(end - blockTokens, end));
    }
    for (const name of this.#blocks.keys()) {
      if (this.#blocks.size <= this.#roomFor) break;
      this.#blocks.delete(name);
    }
  }
}
