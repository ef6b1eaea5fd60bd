// A worker as a gateway knows it, and the one question that an operator has before stopping it.

import type { Heartbeat } from './message.ts';

export type Member = {
  /** The last one. */
  readonly heartbeat: Heartbeat;
  /** When this gateway first and last heard of it, by the gateway's own clock. */
  readonly sinceMs: number;
  readonly heardMs: number;
};

/**
 * Nothing would be lost with it: it takes nothing new, has no request, and nobody still reads KV that
 * it holds. False where it cannot be known.
 */
export function isSafeToStop({ state, jobs, load }: Heartbeat): boolean {
  const blocks = load.counters?.kvBlocks ?? { held: 0, leased: 0 };
  const busy = load.running + load.waiting + blocks.held + blocks.leased;
  return state === 'draining' && jobs === 0 && busy === 0;
}
