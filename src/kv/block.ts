// A block's header, byte for byte the same in every arena. All integers little-endian.
//
//     0  u32 magic "TDKV"        4  u16 version       6  u16 dtype (a codec's code)
//     8  u32 generation         12  u32 first position
//    16  u32 count              20  u16 layers       22  u16 kvHeads
//    24  u16 headDim            26  u16 blockTokens  28  u32 0
//    32  u64 xxHash3 of the payload                  40  24 bytes 0
//    64  32 bytes model digest (SHA-256)
//    96  32 bytes prefix hash (kv/prefix.ts)
//   128  payload [layer][K|V][kvHead][count][headDim] as the dtype's codec writes it (kv/codec/)

import type { KvDtype } from '../protocol/kv-size.ts';
import type { Geometry } from '../protocol/ticket.ts';
import { codecOfCode, codecs } from './codec/table.ts';

export const blockHeaderBytes = 128;
const magic = 0x564b_4454; // "TDKV"
const version = 1;

export type BlockHeader = {
  readonly modelDigest: string;
  readonly dtype: KvDtype;
  readonly geometry: Geometry;
  readonly generation: number;
  readonly firstPosition: number;
  readonly count: number;
  readonly hash: string;
  readonly checksum: string;
};

export function writeHeader(target: Uint8Array, header: BlockHeader): void {
  const view = new DataView(target.buffer, target.byteOffset, blockHeaderBytes);
  view.setUint32(0, magic, true);
  view.setUint16(4, version, true);
  view.setUint16(6, codecs[header.dtype].code, true);
  view.setUint32(8, header.generation, true);
  view.setUint32(12, header.firstPosition, true);
  view.setUint32(16, header.count, true);
  view.setUint16(20, header.geometry.layers, true);
  view.setUint16(22, header.geometry.kvHeads, true);
  view.setUint16(24, header.geometry.headDim, true);
  view.setUint16(26, header.geometry.blockTokens, true);
  view.setUint32(28, 0, true);
  view.setBigUint64(32, BigInt(`0x${header.checksum}`), true);
  target.fill(0, 40, 64);
  target.set(Buffer.from(header.modelDigest, 'hex'), 64);
  target.set(Buffer.from(header.hash, 'hex'), 96);
}

/** The header at the start of `source`, or the flaw that makes it none. */
export function readHeader(source: Uint8Array): BlockHeader | { readonly flaw: string } {
  const view = new DataView(source.buffer, source.byteOffset, blockHeaderBytes);
  if (view.getUint32(0, true) !== magic) return { flaw: 'it does not begin with "TDKV"' };
  const found = view.getUint16(4, true);
  if (found !== version) return { flaw: `it has version ${found}, this build reads ${version}` };
  const code = view.getUint16(6, true);
  const codec = codecOfCode(code);
  if (codec === undefined) return { flaw: `its dtype ${code} is none that this build reads` };
  return {
    dtype: codec.dtype,
    generation: view.getUint32(8, true),
    firstPosition: view.getUint32(12, true),
    count: view.getUint32(16, true),
    geometry: {
      layers: view.getUint16(20, true),
      kvHeads: view.getUint16(22, true),
      headDim: view.getUint16(24, true),
      blockTokens: view.getUint16(26, true),
    },
    checksum: view.getBigUint64(32, true).toString(16).padStart(16, '0'),
    modelDigest: Buffer.from(source.subarray(64, 96)).toString('hex'),
    hash: Buffer.from(source.subarray(96, 128)).toString('hex'),
  };
}

/** Sets a header's generation. */
export function writeGeneration(target: Uint8Array, generation: number): void {
  new DataView(target.buffer, target.byteOffset, blockHeaderBytes).setUint32(8, generation, true);
}

/** Generation of the block whose header begins at `source`, read anew at each call. */
export function readGeneration(source: Uint8Array): number {
  return new DataView(source.buffer, source.byteOffset, blockHeaderBytes).getUint32(8, true);
}
