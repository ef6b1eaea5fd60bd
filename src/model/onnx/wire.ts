// A protobuf reader for files from outside: views into the file, nothing copied. What it reads is
// bounded: every length is held against what is left, and a file may have so many fields and no more,
// so that neither a damaged nor a malicious one costs more than a moment.
// Wire format: https://protobuf.dev/programming-guides/encoding/

import { Fault } from '../../std/fault.ts';

/** Fields of one file: the graph of the largest decoder has some 300,000. */
const fieldsMax = 1_000_000;

export type Field = {
  readonly number: number;
  /** Of a varint, as int64 (beyond 2⁵³ rounded); else 0. */
  readonly value: number;
  /** Of what has a length, and of fixed 4 and 8 bytes; else empty. */
  readonly bytes: Uint8Array;
  /** The field as it is in the file, its tag in front. */
  readonly whole: Uint8Array;
};

const none = new Uint8Array();

export class WireReader {
  readonly #where: string;
  #fieldCount = 0;

  /** @param where names the file in messages. */
  constructor(where: string) {
    this.#where = where;
  }

  /** The fields of one message. Throws a Fault `config` where they are none. */
  *fields(bytes: Uint8Array): Generator<Field> {
    let at = 0;
    while (at < bytes.byteLength) {
      const begin = at;
      const tag = this.#varint(bytes, at);
      at = tag.end;
      const number = Math.floor(tag.value / 8);
      this.#fieldCount++;
      if (this.#fieldCount > fieldsMax) this.#refuse(`has more than ${fieldsMax} fields`);
      if (number < 1 || number > 2 ** 29) this.#refuse(`has a field of number ${number}`);
      const wireType = tag.value & 7;
      let value = 0;
      let content: Uint8Array = none;
      if (wireType === 0) {
        const varint = this.#varint(bytes, at);
        ({ value, end: at } = varint);
      } else {
        const length = this.#length(bytes, at, wireType);
        const end = length.at + length.bytes;
        if (end > bytes.byteLength) {
          const left = bytes.byteLength - length.at;
          this.#refuse(`promises ${length.bytes} bytes in field ${number} where ${left} are left`);
        }
        content = bytes.subarray(length.at, end);
        at = end;
      }
      yield { number, value, bytes: content, whole: bytes.subarray(begin, at) };
    }
  }

  /** Numbers of a repeated integer field, packed or not. */
  integers({ value, bytes }: Field, isPacked: boolean): number[] {
    if (!isPacked) return [value];
    const found: number[] = [];
    for (let at = 0; at < bytes.byteLength; ) {
      const varint = this.#varint(bytes, at);
      this.#fieldCount++;
      if (this.#fieldCount > fieldsMax) this.#refuse(`has more than ${fieldsMax} fields`);
      found.push(varint.value);
      at = varint.end;
    }
    return found;
  }

  #length(bytes: Uint8Array, at: number, wireType: number): { bytes: number; at: number } {
    if (wireType === 5) return { bytes: 4, at };
    if (wireType === 1) return { bytes: 8, at };
    if (wireType !== 2) this.#refuse(`has a field of wire type ${wireType}`);
    const { value, end } = this.#varint(bytes, at);
    if (value < 0) this.#refuse(`has a field of ${value} bytes`);
    return { bytes: value, at: end };
  }

  #varint(bytes: Uint8Array, begin: number): { value: number; end: number } {
    let low = 0; // 28 bits, then the rest as a BigInt where there is one
    for (let i = 0; i < 4; i++) {
      const byte = bytes[begin + i];
      if (byte === undefined) this.#refuse('ends within a number');
      low |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return { value: low, end: begin + i + 1 };
    }
    let wide = BigInt(low);
    for (let i = 4; i < 10; i++) {
      const byte = bytes[begin + i];
      if (byte === undefined) this.#refuse('ends within a number');
      wide |= BigInt(byte & 0x7f) << BigInt(7 * i);
      if (byte < 0x80) return { value: Number(BigInt.asIntN(64, wide)), end: begin + i + 1 };
    }
    return this.#refuse('has a number of more than 10 bytes');
  }

  #refuse(what: string): never {
    throw new Fault(
      'config',
      `${this.#where} is not an ONNX model that can be read: it ${what}; download it again`,
    );
  }
}
