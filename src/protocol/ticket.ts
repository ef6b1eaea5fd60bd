// The ticket a context worker gives a generate worker: where the KV lies (in an arena of the host, or
// in the object store) and what it must be. The
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

const common = {
  /** Worker that computed the KV, for messages. */
  owner: v.string(),
  modelDigest: hex64,
  dtype: v.string(), // whatever it is: an unknown one must reach the check that names both sides
  geometry: geometrySchema,
  /** Tokens of the prompt, all of them. */
  tokens: countSchema,
  /** What the reader waited for beyond the prefill: export, and upload where there is one. */
  exportMs: v.pipe(v.number(), v.minValue(0)),
};

export const shmTicketSchema = v.object({
  kind: v.literal('shm'),
  /** File name of the arena under /dev/shm; never a path. */
  arena: v.pipe(v.string(), v.regex(/^tdist-[A-Za-z0-9_-]{1,80}$/)),
  ...common,
  /** They cover all of `tokens`. */
  blocks: v.array(blockRefSchema),
});
export type ShmTicket = v.InferOutput<typeof shmTicketSchema>;

/** A block in the bucket of its model and dtype (kv/object-name.ts). Its object's name is its hash. */
export const objectBlockSchema = v.object({
  firstPosition: countSchema,
  count: countSchema,
  hash: hex64,
  /** As in plane/object-store.ts: enough to read it without asking first. */
  nuid: v.pipe(v.string(), v.regex(/^[A-Za-z0-9]{1,64}$/)),
  bytes: countSchema,
  chunkCount: countSchema,
  /** SHA-256 of the object, base64url. */
  digest: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_=-]{1,64}$/)),
});
export type ObjectBlock = v.InferOutput<typeof objectBlockSchema>;

export const objectTicketSchema = v.object({
  kind: v.literal('object'),
  ...common,
  /** They cover `tokens` but for a beginning that the reader has said it holds. */
  blocks: v.array(objectBlockSchema),
});
export type ObjectTicket = v.InferOutput<typeof objectTicketSchema>;

export const ticketSchema = v.variant('kind', [shmTicketSchema, objectTicketSchema]);
export type Ticket = v.InferOutput<typeof ticketSchema>;
