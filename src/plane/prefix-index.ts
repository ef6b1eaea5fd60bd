// Which cached blocks each worker has told of, as keys (kv/prefix.ts). Bounded twice: each heartbeat
// names so many at most, and all of them together may not grow beyond `keyCountMax`. Who comes when it
// is full has only as many keys remembered as there is room for, the latest used first: routing is then
// less clever, never wrong.

import type { Log } from '../telemetry/log.ts';

const none: ReadonlySet<string> = new Set();

export class PrefixIndex {
  readonly #options: { readonly log: Log; readonly keyCountMax: number };
  readonly #keys = new Map<string, ReadonlySet<string>>();
  #size = 0;
  #hasWarned = false;

  constructor(options: { readonly log: Log; readonly keyCountMax: number }) {
    this.#options = options;
  }

  /** Keys of all workers together. */
  get size(): number {
    return this.#size;
  }

  /** `keys`: all that the worker has now, latest use first. */
  set(worker: string, keys: readonly string[]): void {
    const { keyCountMax } = this.#options;
    const known = this.keysOf(worker);
    if (known.size === keys.length && keys.every((key) => known.has(key))) return;
    const room = keyCountMax - (this.#size - known.size);
    if (keys.length > room) this.#warn(worker);
    this.delete(worker);
    if (room <= 0 || keys.length === 0) return;
    const kept = new Set(keys.length > room ? keys.slice(0, room) : keys);
    this.#keys.set(worker, kept);
    this.#size += kept.size;
  }

  delete(worker: string): void {
    this.#size -= this.keysOf(worker).size;
    this.#keys.delete(worker);
  }

  keysOf(worker: string): ReadonlySet<string> {
    return this.#keys.get(worker) ?? none;
  }

  #warn(worker: string): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const { log, keyCountMax } = this.#options;
    log.warn(
      `more than ${keyCountMax} cached blocks are announced; those of ${worker} and of workers that come later are not counted in routing`,
    );
  }
}
