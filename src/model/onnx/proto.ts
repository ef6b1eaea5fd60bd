// A protobuf writer, just large enough for ONNX models: varints, strings, floats, nested messages.
// Wire format: https://protobuf.dev/programming-guides/encoding/ ; field numbers: onnx.proto3.

/** One message under construction. */
export class Message {
  readonly #parts: Uint8Array[] = [];
  #bytes = 0;

  varint(field: number, value: number | bigint): this {
    this.#tag(field, 0);
    this.#push(encodeVarint(BigInt.asUintN(64, BigInt(value))));
    return this;
  }

  float(field: number, value: number): this {
    this.#tag(field, 5);
    this.#push(new Uint8Array(new Float32Array([value]).buffer));
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, 2);
    this.#push(encodeVarint(BigInt(value.byteLength)));
    this.#push(value);
    return this;
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.finish());
  }

  /** A field that is one already, tag and all. */
  whole(field: Uint8Array): this {
    this.#push(field);
    return this;
  }

  finish(): Uint8Array {
    const out = new Uint8Array(this.#bytes);
    let at = 0;
    for (const part of this.#parts) {
      out.set(part, at);
      at += part.byteLength;
    }
    return out;
  }

  #tag(field: number, wireType: number): void {
    this.#push(encodeVarint(BigInt((field << 3) | wireType)));
  }

  #push(part: Uint8Array): void {
    this.#parts.push(part);
    this.#bytes += part.byteLength;
  }
}

/** Base 128, least significant group first, high bit = more to come. */
function encodeVarint(value: bigint): Uint8Array {
  const out: number[] = [];
  let rest = value;
  while (rest > 0x7fn) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return Uint8Array.from(out);
}
