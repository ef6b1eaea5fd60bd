// How KV may be stored in blocks, and what that takes: the names and the arithmetic that workers (which
// write blocks) and gateways (which weigh moving them) must agree on. The bytes are kv/codec's.

import type { Geometry } from './ticket.ts';

/** The values of `--kv-cache-dtype` but `auto`, as tickets and cards name them. */
export const kvDtypes = ['float32', 'float16', 'bfloat16', 'int8', 'fp8'] as const;
export type KvDtype = (typeof kvDtypes)[number];

/** `scaleBytes`: one scale for each layer, K or V, and head of a block. */
const sizes: Readonly<
  Record<KvDtype, { readonly valueBytes: number; readonly scaleBytes: number }>
> = {
  float32: { valueBytes: 4, scaleBytes: 0 },
  float16: { valueBytes: 2, scaleBytes: 0 },
  bfloat16: { valueBytes: 2, scaleBytes: 0 },
  int8: { valueBytes: 1, scaleBytes: 4 },
  fp8: { valueBytes: 1, scaleBytes: 4 },
};

export function isKvDtype(name: string): name is KvDtype {
  return Object.hasOwn(sizes, name);
}

/** Runs of values that lie together in a block: one for each layer, K or V, and head. */
export function kvGroupCount({ layers, kvHeads }: Geometry): number {
  return layers * 2 * kvHeads;
}

/** Bytes of a block that holds `count` positions, without its header. */
export function kvPayloadBytes(dtype: KvDtype, geometry: Geometry, count: number): number {
  const { valueBytes, scaleBytes } = sizes[dtype];
  return kvGroupCount(geometry) * (scaleBytes + count * geometry.headDim * valueBytes);
}

/** Bytes of `tokens` positions in blocks, the last one perhaps part-filled. */
export function kvBytes(dtype: KvDtype, geometry: Geometry, tokens: number): number {
  const { blockTokens } = geometry;
  const rest = tokens % blockTokens;
  return (
    Math.floor(tokens / blockTokens) * kvPayloadBytes(dtype, geometry, blockTokens) +
    (rest === 0 ? 0 : kvPayloadBytes(dtype, geometry, rest))
  );
}
