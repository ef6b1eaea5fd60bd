// A worker's shared-memory segment: a file in /dev/shm of fixed size, all of it allocated at the
// start. The owner holds a file lock on it for life, so whoever comes later can tell a living owner's
// arena from one that a killed process left behind (kv/janitor.ts).
//
//   0     u32 magic "TDKA"    4  u32 format      8  u32 blocks    12  u32 stride
//   16    u32 where blocks begin                 20  u32 version: raised at every change of the table
//   32    32 bytes identity: digest of namespace, model, KV dtype and geometry
//   4096  table: for each block a u64, the first 8 bytes of its hash; 0 = nothing to be found there
//   …     blocks, each `stride` apart (kv/block.ts)
//
// The table is how other processes find cached blocks. It is a hint: whoever follows it checks the
// block's header, and the generation again after copying.

import { type KvDtype, kvPayloadBytes } from '../protocol/kv-size.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { Fault } from '../std/fault.ts';
import { type Mapping, viewBytes } from '../std/memory.ts';
import { blockHeaderBytes } from './block.ts';
import { type OwnFile, type ShmFiles, shmFiles } from './shm-files.ts';

export const shmFolder = '/dev/shm';

export const arenaPrefix = 'tdist-';
const pageBytes = 4096;
const magic = 0x414b_4454; // "TDKA"
const format = 1;
const tableBegin = pageBytes;

/** Distance between two blocks of an arena. */
export function blockStride(geometry: Geometry, dtype: KvDtype): number {
  return pages(blockHeaderBytes + kvPayloadBytes(dtype, geometry, geometry.blockTokens));
}

function pages(bytes: number): number {
  return Math.ceil(bytes / pageBytes) * pageBytes;
}

/** A mapped arena, the owner's or a reader's. */
export type ArenaView = {
  readonly name: string;
  readonly mapping: Mapping;
  readonly bytes: Uint8Array;
  readonly blockCount: number;
  readonly stride: number;
  /** Offset of block 0. */
  readonly blocksBegin: number;
  readonly identity: string;
  /** [blockCount] keys of published blocks; 0n = none. */
  readonly table: BigUint64Array;
  /** [1] counter of changes to the table. */
  readonly version: Uint32Array;
};

/** The table's key of a block's hash. */
export function blockKey(hash: string): bigint {
  return BigInt(`0x${hash.slice(0, 16)}`);
}

/** Offset of a block's header. */
export function blockBegin(arena: ArenaView, index: number): number {
  return arena.blocksBegin + index * arena.stride;
}

export class Arena {
  readonly view: ArenaView;
  readonly #file: OwnFile;

  /** @param options.id letters, digits, `-` and `_`: the worker's instance id. */
  constructor(options: {
    id: string;
    geometry: Geometry;
    dtype: KvDtype;
    sizeBytes: number;
    /** 64 hex digits; equal where blocks may be shared. */
    identity: string;
    /** Where it is to lie; /dev/shm unless told. */
    files?: ShmFiles;
  }) {
    const stride = blockStride(options.geometry, options.dtype);
    // Each block also takes 8 bytes of the table, which is rounded up to pages.
    const blockCount = Math.floor((options.sizeBytes - 2 * pageBytes) / (stride + 8));
    if (blockCount < 1) {
      throw new Fault(
        'config',
        `--kv-arena-bytes ${options.sizeBytes} holds no block; one block of this model takes ${stride + 3 * pageBytes} bytes`,
      );
    }
    const blocksBegin = tableBegin + pages(blockCount * 8);
    const bytes = blocksBegin + blockCount * stride;
    const name = `${arenaPrefix}${options.id}`;
    this.#file = (options.files ?? shmFiles(shmFolder)).create(name, bytes);
    const { mapping } = this.#file;
    const header = new DataView(viewBytes(mapping.address, pageBytes).buffer);
    for (const [i, value] of [format, blockCount, stride, blocksBegin].entries()) {
      header.setUint32(4 + i * 4, value, true);
    }
    viewBytes(mapping.address + 32, 32).set(Buffer.from(options.identity, 'hex'));
    // Last: whoever opens the arena before this finds no arena, and looks again later.
    header.setUint32(0, magic, true);
    const view = readArena(name, mapping);
    if ('flaw' in view) throw new Fault('internal', `own arena: ${view.flaw}`);
    this.view = view;
  }

  get name(): string {
    return this.view.name;
  }

  get blockCount(): number {
    return this.view.blockCount;
  }

  /** Lets others find the block, or no longer (null). */
  announce(index: number, hash: string | null): void {
    this.view.table[index] = hash === null ? 0n : blockKey(hash);
    this.view.version[0] = (this.view.version[0] ?? 0) + 1;
  }

  close(): void {
    this.#file.close();
  }
}

/** Reads an arena's first page; nothing in it is believed that could lead outside the mapping. */
export function readArena(name: string, mapping: Mapping): ArenaView | { readonly flaw: string } {
  if (mapping.bytes < pageBytes) return { flaw: `${mapping.bytes} bytes are too few` };
  const bytes = viewBytes(mapping.address, mapping.bytes);
  const header = new DataView(bytes.buffer, 0, pageBytes);
  const [foundMagic, foundFormat, blockCount, stride, blocksBegin] = [0, 4, 8, 12, 16].map((at) =>
    header.getUint32(at, true),
  ) as [number, number, number, number, number]; // five offsets give five numbers
  if (foundMagic !== magic) return { flaw: 'it does not begin with "TDKA"' };
  if (foundFormat !== format) return { flaw: `it has format ${foundFormat}, wanted ${format}` };
  const fits =
    stride % 4 === 0 &&
    blocksBegin % 4 === 0 &&
    tableBegin + blockCount * 8 <= blocksBegin &&
    blocksBegin + blockCount * stride <= mapping.bytes;
  if (!fits) return { flaw: 'its parts do not fit its size' };
  return {
    name,
    mapping,
    bytes,
    blockCount,
    stride,
    blocksBegin,
    identity: Buffer.from(bytes.subarray(32, 64)).toString('hex'),
    table: new BigUint64Array(bytes.buffer, tableBegin, blockCount),
    version: new Uint32Array(bytes.buffer, 20, 1),
  };
}
