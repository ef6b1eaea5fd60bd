// An island: workers that can read each other's arenas, because they share a host's memory and agree on
// model, KV dtype and layout. What one of them has cached, all of them can use. Pairs are made within
// islands and, where KV can travel through the object store, across them (plane/kv-path.ts).

import type { Heartbeat } from '../protocol/message.ts';
import type { PromptKeys } from './prompt-keys.ts';

export type KeysOf = (worker: string) => ReadonlySet<string>;

/** Two workers share their caches exactly if these are equal. */
export function islandKey({ host, card }: Heartbeat): string {
  const { layers, kvHeads, headDim, blockTokens } = card.geometry;
  const layout = `${layers} ${kvHeads} ${headDim} ${blockTokens}`;
  return `${layout} ${card.kvDtype} ${card.modelDigest} ${host}`;
}

export function islandsOf(workers: readonly Heartbeat[]): readonly (readonly Heartbeat[])[] {
  const islands = new Map<string, Heartbeat[]>();
  for (const worker of workers) {
    const key = islandKey(worker);
    const island = islands.get(key);
    if (island === undefined) islands.set(key, [worker]);
    else island.push(worker);
  }
  return [...islands.values()];
}

export type Cached = {
  /** Leading prompt tokens that some worker of the island has cached. */
  readonly tokens: number;
  /** Those that this worker has itself. */
  own(worker: string): number;
};

const nothing: Cached = { tokens: 0, own: () => 0 };

export function cachedOf(
  island: readonly Heartbeat[],
  question: {
    readonly keys: PromptKeys;
    readonly keysOf: KeysOf;
    /** Workers that have all of it, whatever they have told of. */
    readonly warm?: ReadonlySet<string>;
  },
): Cached {
  const { keys, warm } = question;
  const [first] = island;
  const keysOf: KeysOf = (worker) =>
    first !== undefined && warm?.has(worker)
      ? new Set(keys.of(first.card))
      : question.keysOf(worker);
  const sets = island.map(({ worker }) => keysOf(worker)).filter(({ size }) => size > 0);
  if (first === undefined || sets.length === 0) return nothing;
  const { blockTokens } = first.card.geometry;
  const chain = keys.of(first.card);
  // A block is of use only with all before it: the chain ends at the first one missing.
  const leading = (has: (key: string) => boolean): number => {
    const miss = chain.findIndex((key) => !has(key));
    return (miss < 0 ? chain.length : miss) * blockTokens;
  };
  return {
    tokens: leading((key) => sets.some((set) => set.has(key))),
    own: (worker) => {
      const set = keysOf(worker);
      return leading((key) => set.has(key));
    },
  };
}
