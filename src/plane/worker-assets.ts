// The text files of a worker's model, handed out in slices that fit one message.

import { limit } from '../protocol/limit.ts';
import { type AssetReply, assetSchema, protocolVersion } from '../protocol/message.ts';
import { Fault } from '../std/fault.ts';
import { decode, encode } from './codec.ts';

export type AssetFiles = {
  /** tokenizer.json and tokenizer_config.json as they were read. */
  readonly tokenizer: Uint8Array;
  readonly tokenizerConfig: Uint8Array;
};

/** Room for the JSON around the base64 text. */
const envelopeBytes = 1024;

export function assetReply(
  files: AssetFiles,
  payload: Uint8Array,
  maxPayloadBytes: number,
): Uint8Array {
  const { name, offset } = decode(assetSchema, payload, 'asset request');
  const file = files[name];
  if (offset > file.byteLength) {
    const text = `asset ${name}: offset ${offset} in a file of ${file.byteLength} bytes`;
    throw new Fault('invalid_request', text);
  }
  const fitting = Math.floor(((maxPayloadBytes - envelopeBytes) * 3) / 4); // base64: 4 for 3
  const count = Math.max(1, Math.min(limit.assetSliceBytes, fitting));
  const slice = Buffer.from(file.subarray(offset, offset + count)).toString('base64');
  const reply: AssetReply = { v: protocolVersion, totalBytes: file.byteLength, slice };
  return encode(reply);
}
