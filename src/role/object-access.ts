// Whether this worker can use the object store now: asked when the request plane is there (again), and
// now and then while the answer is no. Heartbeats carry it to the gateways, which then make pairs across
// hosts, or do not.

import type { Bus } from '../plane/bus.ts';
import { jetStreamTrouble } from '../plane/jetstream-probe.ts';
import { limit } from '../protocol/limit.ts';
import type { Clock, Timer } from '../std/clock.ts';
import type { Log } from '../telemetry/log.ts';

export class ObjectAccess {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #log: Log;
  /** `--kv-path object`: then doing without is worth a warning. */
  readonly #isWanted: boolean;
  readonly #onChange: () => void;
  readonly #settled = Promise.withResolvers<void>();
  /** Resolves when the first answer is there, whatever it is. */
  readonly settled = this.#settled.promise;
  #isUsable = false;
  #told: string | null = null;
  #failures = 0;
  #timer: Timer | null = null;
  #isStopped = false;

  constructor(options: {
    readonly bus: Bus;
    readonly clock: Clock;
    readonly log: Log;
    readonly isWanted: boolean;
    readonly onChange: () => void;
  }) {
    this.#bus = options.bus;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#isWanted = options.isWanted;
    this.#onChange = options.onChange;
    options.bus.onTrouble((trouble) => {
      if (trouble === null) void this.#probe();
    });
    if (options.bus.trouble() === null) void this.#probe();
  }

  isUsable(): boolean {
    return this.#isUsable && this.#bus.trouble() === null;
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  async #probe(): Promise<void> {
    this.#timer?.cancel();
    const trouble = await jetStreamTrouble(this.#bus, limit.objectAskMs);
    if (this.#isStopped || this.#bus.trouble() !== null) return; // asked again when it is back
    const changed = this.#isUsable !== (trouble === null);
    this.#isUsable = trouble === null;
    if (trouble === null) {
      this.#told = null; // the same trouble is news again next time
      this.#failures = 0;
    } else {
      this.#tell(trouble);
      // Often soon after the start: a server that has just begun may not answer for JetStream yet.
      const waitMs = Math.min(
        limit.objectProbeMs,
        limit.objectProbeFirstMs * 2 ** this.#failures++,
      );
      this.#timer = this.#clock.after(waitMs, () => void this.#probe());
    }
    this.#settled.resolve();
    if (changed) this.#onChange();
  }

  #tell(trouble: string): void {
    if (this.#told === trouble) return;
    this.#told = trouble;
    const text = `KV cannot go through the object store: ${trouble}`;
    if (this.#isWanted) this.#log.error(`--kv-path object: ${text}; prompts are computed locally`);
    else this.#log.info(`${text}; workers of other hosts compute their prompts themselves`);
  }
}
