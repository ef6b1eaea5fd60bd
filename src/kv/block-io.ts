// A block's way between a slot and an arena, in both directions: rows through a codec (float32: one
// strided copy), a checksum, and a header that is written before the payload and again after it, so
// that a late reader of the block's earlier content sees the generation change.

import { kvGroupCount } from '../protocol/kv-size.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { Fault } from '../std/fault.ts';
import { checksum } from '../std/hash.ts';
import { type ArenaView, blockBegin } from './arena.ts';
import {
  type BlockHeader,
  blockHeaderBytes,
  readGeneration,
  readHeader,
  writeHeader,
} from './block.ts';
import type { Codec } from './codec/codec.ts';
import { codecs } from './codec/table.ts';
import { sameGeometry, tokenBytes } from './geometry.ts';
import type { KvIdentity } from './identity.ts';
import type { KvSlots } from './pool.ts';

/** Rows of a slot: `count` positions from `first` on. */
export type Rows = { readonly slot: number; readonly first: number; readonly count: number };

/** Rows and what the block that holds them must be called. */
export type NamedRows = {
  readonly kv: KvIdentity;
  readonly hash: string;
  readonly rows: Rows;
};

/** Memory that holds a payload. */
export type Payload = { readonly address: number; readonly bytes: Uint8Array };

/** Writes rows into an arena's block, in the identity's dtype. Returns the payload's checksum. */
export function writeBlock(
  target: { readonly arena: ArenaView; readonly index: number; readonly generation: number },
  block: NamedRows,
  pool: KvSlots,
): string {
  const { arena, index, generation } = target;
  const { kv, hash, rows } = block;
  const { modelDigest, dtype } = kv;
  const begin = blockBegin(arena, index);
  const header = arena.bytes.subarray(begin, begin + blockHeaderBytes);
  const fields = {
    modelDigest,
    dtype,
    hash,
    geometry: pool.geometry,
    generation,
    firstPosition: rows.first,
    count: rows.count,
  };
  writeHeader(header, { ...fields, checksum: '0'.repeat(16) });
  const codec = codecs[dtype];
  const bytes = codec.payloadBytes(pool.geometry, rows.count);
  const payload = payloadOf(arena, begin + blockHeaderBytes, bytes);
  encodeRows(codec, rows, pool, payload);
  const sum = checksum(payload.bytes);
  writeHeader(header, { ...fields, checksum: sum });
  return sum;
}

/** What a reader expects of a block; null = whatever the header says. */
export type WantedBlock = {
  readonly index: number;
  readonly hash: string;
  readonly generation: number | null;
  readonly checksum: string | null;
};

/**
 * Reads an arena's block into a slot. Throws a Fault `transfer` when it is not the block wanted, is
 * damaged, or was used again meanwhile; the rows then hold anything.
 */
export function readBlock(
  arena: ArenaView,
  block: { readonly kv: KvIdentity; readonly wanted: WantedBlock; readonly rows: Rows },
  pool: KvSlots,
): void {
  const { kv, wanted, rows } = block;
  const fail = (flaw: string): never => {
    throw new Fault('transfer', `KV block ${wanted.index} of arena ${arena.name}: ${flaw}`);
  };
  const codec = codecs[kv.dtype];
  const begin = blockBegin(arena, wanted.index);
  const bytes = codec.payloadBytes(pool.geometry, rows.count);
  const outside = wanted.index >= arena.blockCount || blockHeaderBytes + bytes > arena.stride;
  if (outside) fail('it lies outside the arena');
  const headerBytes = arena.bytes.subarray(begin, begin + blockHeaderBytes);
  const header = readHeader(headerBytes);
  if ('flaw' in header) return fail(header.flaw);
  if (wanted.generation !== null && header.generation !== wanted.generation) {
    fail('its lease had expired and it was used again');
  }
  if (!describes(header, { kv, hash: wanted.hash, rows }, pool.geometry)) {
    fail('its header does not agree with the ticket');
  }
  const payload = payloadOf(arena, begin + blockHeaderBytes, bytes);
  decodeRows(codec, rows, pool, payload);
  const sum = checksum(payload.bytes);
  if (sum !== header.checksum || (wanted.checksum !== null && sum !== wanted.checksum)) {
    fail(`checksum ${sum}, wanted ${wanted.checksum ?? header.checksum}`);
  }
  if (readGeneration(headerBytes) !== header.generation) fail('it was used again while being read');
}

function payloadOf(arena: ArenaView, begin: number, bytes: number): Payload {
  const address = arena.mapping.address + begin;
  return { address, bytes: arena.bytes.subarray(begin, begin + bytes) };
}

function encodeRows(codec: Codec, rows: Rows, pool: KvSlots, payload: Payload): void {
  if (codec.dtype === 'float32') return pool.copyRows('out', rows, payload.address);
  const { address, floats } = pool.staging;
  pool.copyRows('out', rows, address);
  codec.encode(
    floats.subarray(0, valueCount(rows, pool)),
    payload.bytes,
    kvGroupCount(pool.geometry),
  );
}

export function decodeRows(codec: Codec, rows: Rows, pool: KvSlots, payload: Payload): void {
  if (codec.dtype === 'float32') return pool.copyRows('in', rows, payload.address);
  const { address, floats } = pool.staging;
  codec.decode(
    payload.bytes,
    floats.subarray(0, valueCount(rows, pool)),
    kvGroupCount(pool.geometry),
  );
  pool.copyRows('in', rows, address);
}

function valueCount({ count }: Rows, { geometry }: KvSlots): number {
  return (count * tokenBytes(geometry)) / Float32Array.BYTES_PER_ELEMENT;
}

/** Whether a header is of that block. */
export function describes(
  header: BlockHeader,
  { kv, hash, rows }: NamedRows,
  geometry: Geometry,
): boolean {
  return (
    header.hash === hash &&
    header.modelDigest === kv.modelDigest &&
    header.dtype === kv.dtype &&
    header.count === rows.count &&
    header.firstPosition === rows.first &&
    sameGeometry(header.geometry, geometry)
  );
}
