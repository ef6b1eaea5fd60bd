// Sizes that follow from how a model's KV is laid out in slots, where it is float32 always. What it
// takes in blocks is in protocol/kv-size.ts.

import type { Geometry } from '../protocol/ticket.ts';

export const valueBytes = 4;

/** Bytes of one head's K (or V) row at one position. */
export function rowBytes(geometry: Geometry): number {
  return geometry.headDim * valueBytes;
}

/** Bytes of one position in a slot: all layers, K and V, all heads. */
export function tokenBytes(geometry: Geometry): number {
  return geometry.layers * 2 * geometry.kvHeads * rowBytes(geometry);
}

/** How many blocks `tokens` positions take; the last may be partly filled. */
export function blockCount(geometry: Geometry, tokens: number): number {
  return Math.ceil(tokens / geometry.blockTokens);
}

export function describeGeometry(geometry: Geometry): string {
  const { layers, kvHeads, headDim, blockTokens } = geometry;
  return `${layers} layers × ${kvHeads} heads × ${headDim}, blocks of ${blockTokens}`;
}

export function sameGeometry(a: Geometry, b: Geometry): boolean {
  return (
    a.layers === b.layers &&
    a.kvHeads === b.kvHeads &&
    a.headDim === b.headDim &&
    a.blockTokens === b.blockTokens
  );
}
