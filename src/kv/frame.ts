// A block on its way between hosts: the bytes of an arena's block, header and payload (kv/block.ts), in
// a buffer of their own. The generation means nothing outside the arena and is 0, so that one name
// stands for the same bytes wherever they were computed.

import { isKvDtype, type KvDtype, kvPayloadBytes } from '../protocol/kv-size.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { Fault } from '../std/fault.ts';
import { checksum } from '../std/hash.ts';
import { addressOf } from '../std/memory.ts';
import { type ArenaView, blockBegin } from './arena.ts';
import { blockHeaderBytes, readGeneration, readHeader, writeGeneration } from './block.ts';
import { decodeRows, describes, type NamedRows } from './block-io.ts';
import { codecs } from './codec/table.ts';
import type { KvSlots } from './pool.ts';

/** Bytes of a block of `count` tokens. */
export function frameBytes(dtype: KvDtype, geometry: Geometry, count: number): number {
  return blockHeaderBytes + kvPayloadBytes(dtype, geometry, count);
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

/** How a frame's payload is coded. Throws a Fault as `readFrame`. */
export function frameDtype(frame: Uint8Array<ArrayBuffer>): KvDtype {
  if (frame.byteLength < blockHeaderBytes) throw flaw('truncated', `${frame.byteLength} bytes`);
  const header = readHeader(frame);
  if ('flaw' in header) throw flaw('corrupt', header.flaw);
  if (isKvDtype(header.dtype)) return header.dtype;
  throw flaw('dtype', 'its KV dtype is not known here; start both workers in the same version');
}

/** Reads a frame into a slot. Throws a Fault `transfer` when it is not the block wanted or damaged. */
export function readFrame(frame: Uint8Array<ArrayBuffer>, block: NamedRows, pool: KvSlots): void {
  const { kv, rows } = block;
  const header = readHeader(frame);
  if ('flaw' in header) throw flaw('corrupt', header.flaw);
  if (!describes(header, block, pool.geometry)) {
    throw flaw('digest', `at position ${rows.first} its header is of another block`);
  }
  const bytes = frameBytes(kv.dtype, pool.geometry, rows.count);
  if (frame.byteLength !== bytes) {
    throw flaw('truncated', `${frame.byteLength} bytes, wanted ${bytes}`);
  }
  const payload = frame.subarray(blockHeaderBytes);
  const sum = checksum(payload);
  if (sum !== header.checksum) throw flaw('corrupt', `checksum ${sum}, wanted ${header.checksum}`);
  decodeRows(codecs[kv.dtype], rows, pool, { address: addressOf(payload), bytes: payload });
}

function flaw(reason: string, text: string): Fault {
  return new Fault('transfer', `KV block from another host: ${text}`, { reason });
}
