// A block's way between a slot and an arena, in both directions: one strided copy, a checksum, and a
// header that is written before the payload and again after it, so that a late reader of the block's
// earlier content sees the generation change.

import type { Geometry } from '../protocol/ticket.ts';
import { Fault } from '../std/fault.ts';
import { checksum } from '../std/hash.ts';
import { type ArenaView, blockBegin } from './arena.ts';
import { blockHeaderBytes, readGeneration, readHeader, writeHeader } from './block.ts';
import { sameGeometry, tokenBytes } from './geometry.ts';
import type { KvPool } from './pool.ts';

/** Rows of a slot: `count` positions from `first` on. */
export type Rows = { readonly slot: number; readonly first: number; readonly count: number };

export type BlockIdentity = {
  readonly modelDigest: string;
  readonly dtype: string;
  readonly hash: string;
};

/** Copies rows into an arena's block. Returns the payload's checksum. */
export function writeBlock(
  target: { readonly arena: ArenaView; readonly index: number; readonly generation: number },
  identity: BlockIdentity,
  rows: Rows,
  pool: KvPool,
): string {
  const { arena, index, generation } = target;
  const begin = blockBegin(arena, index);
  const header = arena.bytes.subarray(begin, begin + blockHeaderBytes);
  const fields = {
    ...identity,
    geometry: pool.geometry,
    generation,
    firstPosition: rows.first,
    count: rows.count,
  };
  writeHeader(header, { ...fields, checksum: '0'.repeat(16) });
  const payload = begin + blockHeaderBytes;
  pool.copyRows('out', rows, arena.mapping.address + payload);
  const bytes = rows.count * tokenBytes(pool.geometry);
  const sum = checksum(arena.bytes.subarray(payload, payload + bytes));
  writeHeader(header, { ...fields, checksum: sum });
  return sum;
}

/** What a reader expects of a block; null = whatever the header says. */
export type WantedBlock = {
  readonly index: number;
  readonly hash: string;
  readonly modelDigest: string;
  readonly dtype: string;
  readonly generation: number | null;
  readonly checksum: string | null;
};

/**
 * Copies an arena's block into a slot. Throws a Fault `transfer` when it is not the block wanted, is
 * damaged, or was used again meanwhile; the rows then hold anything.
 */
export function readBlock(arena: ArenaView, wanted: WantedBlock, rows: Rows, pool: KvPool): void {
  const { geometry } = pool;
  const fail = (flaw: string): never => {
    throw new Fault('transfer', `KV block ${wanted.index} of arena ${arena.name}: ${flaw}`);
  };
  const begin = blockBegin(arena, wanted.index);
  const payload = begin + blockHeaderBytes;
  const end = payload + rows.count * tokenBytes(geometry);
  if (wanted.index >= arena.blockCount || end > begin + arena.stride)
    fail('it lies outside the arena');
  const headerBytes = arena.bytes.subarray(begin, payload);
  const header = readHeader(headerBytes);
  if ('flaw' in header) return fail(header.flaw);
  if (wanted.generation !== null && header.generation !== wanted.generation) {
    fail('its lease had expired and it was used again');
  }
  if (!describes(header, wanted, rows, geometry)) fail('its header does not agree with the ticket');
  pool.copyRows('in', rows, arena.mapping.address + payload);
  const sum = checksum(arena.bytes.subarray(payload, end));
  if (sum !== header.checksum || (wanted.checksum !== null && sum !== wanted.checksum)) {
    fail(`checksum ${sum}, wanted ${wanted.checksum ?? header.checksum}`);
  }
  if (readGeneration(headerBytes) !== header.generation) fail('it was used again while being read');
}

function describes(
  header: Exclude<ReturnType<typeof readHeader>, { readonly flaw: string }>,
  wanted: WantedBlock,
  rows: Rows,
  geometry: Geometry,
): boolean {
  return (
    header.hash === wanted.hash &&
    header.modelDigest === wanted.modelDigest &&
    header.dtype === wanted.dtype &&
    header.count === rows.count &&
    header.firstPosition === rows.first &&
    sameGeometry(header.geometry, geometry)
  );
}
