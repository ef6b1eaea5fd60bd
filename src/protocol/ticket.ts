// The ticket a context worker gives a generate worker: where the KV lies and what it must be. The
// reader checks all of it against its own model and against each block's header before it copies.

import * as v from 'valibot';
import { countSchema } from './request.ts';

/** How KV is laid out; two workers understand each other only if all of it is equal. */
export const geometrySchema = v.object({
  layers: countSchema,
  kvHeads: countSchema,
  headDim: countSchema,
  blockTokens: countSchema,
});
export type Geometry = v.InferOutput<typeof geometrySchema>;

const hex16 = v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/));
const hex64 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));

export const blockRefSchema = v.object({
  /** Index of the block in its arena. */
  index: countSchema,
  /** How often this arena block had been staged when the ticket was written. */
  generation: countSchema,
  /** Position of the block's first token, and how many tokens it holds. */
  firstPosition: countSchema,
  count: countSchema,
  /** Chained hash of (model digest, dtype, all tokens up to and including this block). */
  hash: hex64,
  /** xxHash3 of the payload. */
  checksum: hex16,
});
export type BlockRef = v.InferOutput<typeof blockRefSchema>;

export const ticketSchema = v.object({
  kind: v.literal('shm'),
  /** File name of the arena under /dev/shm; never a path. */
  arena: v.pipe(v.string(), v.regex(/^tdist-[A-Za-z0-9_-]{1,80}$/)),
  /** Worker that owns the arena, for messages. */
  owner: v.string(),
  modelDigest: hex64,
  dtype: v.string(), // whatever it is: an unknown one must reach the check that names both sides
  geometry: geometrySchema,
  /** Tokens covered, equal to the sum of the blocks' counts. */
  tokens: countSchema,
  blocks: v.array(blockRefSchema),
  /** What the export took the context worker. */
  exportMs: v.pipe(v.number(), v.minValue(0)),
});
export type Ticket = v.InferOutput<typeof ticketSchema>;
