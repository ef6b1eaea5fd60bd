// A block on its way between hosts: the bytes of an arena's block, header and payload (kv/block.ts), in
// a buffer of their own. The generation means nothing outside the arena and is 0, so that one name
// stands for the same bytes wherever they were computed.

import type { Geometry } from '../protocol/ticket.ts';
import { Fault } from '../std/fault.ts';
import { checksum } from '../std/hash.ts';
import { addressOf } from '../std/memory.ts';
import { type ArenaView, blockBegin } from './arena.ts';
import { blockHeaderBytes, readGeneration, readHeader, writeGeneration } from './block.ts';
import type { BlockIdentity, Rows } from './block-io.ts';
import { sameGeometry, tokenBytes } from './geometry.ts';
import type { KvPool } from './pool.ts';

/** Bytes of a block of `count` tokens. */
export function frameBytes(geometry: Geometry, count: number): number {
  return blockHeaderBytes + count * tokenBytes(geometry);
}

/**
 * A copy of an arena's block. Throws a Fault `transfer`, reason `expired`, when it was used again.
 */
export function copyFrame(
  arena: ArenaView,
  block: { readonly index: number; readonly generation: number; readonly bytes: number },
): Uint8Array<ArrayBuffer> {
  const begin = blockBegin(arena, block.index);
  const frame = arena.bytes.slice(begin, begin + block.bytes);
  const found = readGeneration(arena.bytes.subarray(begin, begin + blockHeaderBytes));
  if (found !== block.generation || readGeneration(frame) !== block.generation) {
    throw new Fault('transfer', `KV block ${block.index}: its lease had expired before it left`, {
      reason: 'expired',
    });
  }
  writeGeneration(frame, 0);
  return frame;
}

/** Copies a frame into a slot. Throws a Fault `transfer` when it is not the block wanted or damaged. */
export function readFrame(
  frame: Uint8Array<ArrayBuffer>,
  wanted: BlockIdentity,
  rows: Rows,
  pool: KvPool,
): void {
  const { geometry } = pool;
  const fail = (reason: string, flaw: string): never => {
    throw new Fault('transfer', `KV block at position ${rows.first}: ${flaw}`, { reason });
  };
  const bytes = frameBytes(geometry, rows.count);
  if (frame.byteLength < blockHeaderBytes) fail('truncated', `${frame.byteLength} bytes`);
  const header = readHeader(frame);
  if ('flaw' in header) return fail('corrupt', header.flaw);
  const fits =
    header.hash === wanted.hash &&
    header.modelDigest === wanted.modelDigest &&
    header.dtype === wanted.dtype &&
    header.count === rows.count &&
    header.firstPosition === rows.first &&
    sameGeometry(header.geometry, geometry);
  if (!fits) fail('digest', 'its header is of another block');
  if (frame.byteLength !== bytes) fail('truncated', `${frame.byteLength} bytes, wanted ${bytes}`);
  const payload = frame.subarray(blockHeaderBytes);
  const sum = checksum(payload);
  if (sum !== header.checksum) fail('corrupt', `checksum ${sum}, wanted ${header.checksum}`);
  pool.copyRows('in', rows, addressOf(payload));
}
