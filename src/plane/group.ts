// Workers that serve the same model from the same files form a group. A name may be announced with
// two contents for a while (an upgrade); then one group at a time gets the requests.

import type { Card, Heartbeat } from '../protocol/message.ts';
import type { LiveWorker } from './registry.ts';

export type Group = {
  readonly key: string;
  readonly textDigest: string;
  /** Oldest first. */
  readonly workers: readonly Heartbeat[];
};

export function keyOf(card: Card): string {
  return JSON.stringify([card.model, card.modelDigest, card.textDigest]);
}

/** Model name → its groups, oldest first. `workers` must come in order of arrival. */
export function groupsOf(workers: Iterable<LiveWorker>): ReadonlyMap<string, readonly Group[]> {
  const groups = new Map<string, { name: string; textDigest: string; workers: Heartbeat[] }>();
  for (const { heartbeat, key } of workers) {
    const { card } = heartbeat;
    const group = groups.get(key) ?? { name: card.model, textDigest: card.textDigest, workers: [] };
    group.workers.push(heartbeat);
    groups.set(key, group);
  }
  const byName = new Map<string, Group[]>();
  for (const [key, { name, textDigest, workers: members }] of groups) {
    const list = byName.get(name) ?? [];
    list.push({ key, textDigest, workers: members });
    byName.set(name, list);
  }
  return byName;
}

/** The oldest group that could serve now, else the oldest. */
export function preferred(groups: readonly Group[]): Group | null {
  return groups.find(isServable) ?? groups[0] ?? null;
}

/** A generate worker can prefill by itself, so it is enough; a context worker alone is not. */
export function isServable(group: Group): boolean {
  return group.workers.some(({ role, state }) => state === 'ready' && role !== 'context');
}
