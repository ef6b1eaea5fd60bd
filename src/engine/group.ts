// Which chunks of a step run together. The CPU kernel takes several sequences at once only for their
// first tokens, in neighbouring slots, padded to the longest: worth it for short prompts of like length.

import type { Chunk } from './plan.ts';
import { scores } from './sequence.ts';

/** Padding that one run may have, as a share of its tokens. */
const wasteMax = 0.25;

export type ChunkGroup = readonly [Chunk, ...Chunk[]];

/**
 * @param chunks in order of their slots.
 * @param tokensMax rows of one run, padding included.
 */
export function groupChunks(chunks: readonly Chunk[], tokensMax: number): ChunkGroup[] {
  const groups: [Chunk, ...Chunk[]][] = [];
  for (const chunk of chunks) {
    const group = groups.at(-1);
    if (group !== undefined && fits(group, chunk, tokensMax)) group.push(chunk);
    else groups.push([chunk]);
  }
  return groups;
}

/** Rows that each member of the group gets. */
export function longestOf(group: ChunkGroup): number {
  return Math.max(...group.map(({ count }) => count));
}

/** Rows that are computed and written for nothing. */
export function paddingOf(group: ChunkGroup): number {
  return group.reduce((sum, { count }) => sum - count, longestOf(group) * group.length);
}

function fits(group: readonly Chunk[], chunk: Chunk, tokensMax: number): boolean {
  const previous = group.at(-1);
  // A row of logits for each token is had only alone.
  if (scores(chunk.sequence) || (previous !== undefined && scores(previous.sequence))) return false;
  if (previous === undefined || chunk.slot !== previous.slot + 1) return false;
  if (chunk.past > 0 || previous.past > 0) return false;
  const counts = [...group.map((member) => member.count), chunk.count];
  const padded = Math.max(...counts) * counts.length;
  const real = counts.reduce((a, b) => a + b, 0);
  return padded <= tokensMax && padded - real <= real * wasteMax;
}
