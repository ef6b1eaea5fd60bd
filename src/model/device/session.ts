// The Runner on a device: the same session as the CPU's, over the device's pool. Prompts are computed
// one after another in the slot aside; a decode step is one run over the batch.

import type { Runner } from '../../engine/runner.ts';
import type { OrtSession } from '../session.ts';
import type { DevicePool } from './pool.ts';

/** The slot of `prefill` that means the one aside. */
export const aside = -1;

export class DeviceSession implements Runner {
  readonly vocabSize: number;
  readonly #session: OrtSession;
  readonly #pool: DevicePool;
  #logits = new Float32Array();

  /** `session` takes its caches from `cachesOf(pool)`. */
  constructor(session: OrtSession, pool: DevicePool) {
    this.vocabSize = session.vocabSize;
    this.#session = session;
    this.#pool = pool;
  }

  prefill(step: Parameters<Runner['prefill']>[0]): Float32Array {
    this.#pool.enter(step.slot, step.past);
    const logits = this.#session.prefill({ ...step, slot: aside });
    this.#pool.leave(step.ids.length);
    return logits;
  }

  prefillTogether({ slot, prompts }: Parameters<Runner['prefillTogether']>[0]): Float32Array {
    const values = prompts.length * this.vocabSize;
    if (this.#logits.length < values) this.#logits = new Float32Array(values);
    for (const [i, ids] of prompts.entries()) {
      const logits = this.prefill({ slot: slot + i, past: 0, ids });
      this.#logits.set(logits.subarray(0, this.vocabSize), i * this.vocabSize);
    }
    return this.#logits;
  }

  decode(step: Parameters<Runner['decode']>[0]): Float32Array {
    this.#pool.wrote(step.pasts, step.count);
    return this.#session.decode(step);
  }

  close(): void {
    this.#session.close();
  }
}

/** Where the session finds past and present of a run of slots. */
export function cachesOf(pool: DevicePool): (slot: number, count: number) => BigUint64Array {
  return (slot, count) => (slot === aside ? pool.aside : pool.batch(count));
}
