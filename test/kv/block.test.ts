import { describe, expect, test } from 'bun:test';
import {
  type BlockHeader,
  blockHeaderBytes,
  readGeneration,
  readHeader,
  writeHeader,
} from '../../src/kv/block.ts';
import { kvDtypes } from '../../src/protocol/kv-size.ts';
import { geometry, modelDigest } from './pool-rows.ts';

const header: BlockHeader = {
  modelDigest,
  dtype: 'float32',
  geometry,
  generation: 0xfedc_ba98,
  firstPosition: 4032,
  count: 17,
  hash: '0123456789abcdef'.repeat(4),
  checksum: '00ff00ff00ff00ff',
};

function written(changes: Partial<BlockHeader> = {}): Uint8Array {
  const bytes = new Uint8Array(blockHeaderBytes + 64).fill(0xee);
  writeHeader(bytes.subarray(32), { ...header, ...changes });
  return bytes;
}

describe('a block’s header', () => {
  test('comes back as it was written', () => {
    expect(readHeader(written().subarray(32))).toEqual(header);
    expect(readGeneration(written().subarray(32))).toBe(0xfedc_ba98);
  });

  test('writes its 128 bytes and no other', () => {
    const bytes = written();
    expect(bytes.subarray(0, 32).every((byte) => byte === 0xee)).toBeTrue();
    expect(bytes.subarray(32 + blockHeaderBytes).every((byte) => byte === 0xee)).toBeTrue();
    expect(bytes.subarray(32 + 40, 32 + 64).every((byte) => byte === 0)).toBeTrue();
  });

  test('is laid out as its comment says', () => {
    const view = new DataView(written().buffer, 32);
    expect(new TextDecoder().decode(written().subarray(32, 36))).toBe('TDKV');
    expect([view.getUint16(4, true), view.getUint16(6, true)]).toEqual([1, 1]);
    expect([8, 12, 16].map((at) => view.getUint32(at, true))).toEqual([0xfedc_ba98, 4032, 17]);
    expect([20, 22, 24, 26].map((at) => view.getUint16(at, true))).toEqual([3, 2, 16, 64]);
    expect(view.getBigUint64(32, true)).toBe(0x00ff_00ff_00ff_00ffn);
    expect([view.getUint8(64), view.getUint8(96), view.getUint8(127)]).toEqual([0xab, 0x01, 0xef]);
  });

  test('says what is wrong with one that is none', () => {
    const bytes = written().subarray(32);
    bytes[4] = 2;
    expect(readHeader(bytes)).toEqual({ flaw: 'it has version 2, this build reads 1' });
    bytes[0] = 0;
    expect(readHeader(bytes)).toEqual({ flaw: 'it does not begin with "TDKV"' });
    expect(readHeader(new Uint8Array(blockHeaderBytes))).toHaveProperty('flaw');
  });

  test('names every dtype, each by its own code, and refuses the code of none', () => {
    const bytes = written().subarray(32);
    const codes = kvDtypes.map((dtype) => {
      writeHeader(bytes, { ...header, dtype });
      expect(readHeader(bytes)).toEqual({ ...header, dtype });
      return bytes[6];
    });
    expect(codes).toEqual([1, 2, 3, 4, 5]); // other builds read them: never to change
    bytes[6] = 9;
    expect(readHeader(bytes)).toEqual({ flaw: 'its dtype 9 is none that this build reads' });
  });
});
