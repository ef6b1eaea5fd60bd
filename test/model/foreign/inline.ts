// An export with external data → one with everything in the model file, as small models have it.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Message } from '../../../src/model/onnx/proto.ts';
import { WireReader } from '../../../src/model/onnx/wire.ts';

export function inlineWeights(path: string): void {
  const reader = new WireReader(path);
  const data = readFileSync(`${path}_data`);
  const tensor = (bytes: Uint8Array): Message => {
    const message = new Message();
    const entries = new Map<string, string>();
    for (const field of reader.fields(bytes)) {
      if (field.number === 13) {
        const [key, value] = [...reader.fields(field.bytes)].map((one) => one.bytes);
        const text = new TextDecoder();
        entries.set(text.decode(key), text.decode(value));
      } else if (field.number !== 14) message.whole(field.whole);
    }
    const offset = Number(entries.get('offset') ?? 0);
    const length = Number(entries.get('length') ?? 0);
    return entries.size === 0 ? message : message.bytes(9, data.subarray(offset, offset + length));
  };
  const change = (
    bytes: Uint8Array,
    number: number,
    f: (bytes: Uint8Array) => Message,
  ): Message => {
    const message = new Message();
    for (const field of reader.fields(bytes)) {
      if (field.number === number) message.message(number, f(field.bytes));
      else message.whole(field.whole);
    }
    return message;
  };
  const model = change(readFileSync(path), 7, (graph) => change(graph, 5, tensor));
  writeFileSync(path, model.finish());
  rmSync(join(dirname(path), `${path.split('/').at(-1)}_data`));
}
