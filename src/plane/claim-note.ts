// The note that travels in place of a large message: where its bytes lie, and how long its sender waits.
// No other message begins with a zero byte (they are JSON), so a note is never taken for one.

import * as v from 'valibot';
import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import { decode, encode } from './codec.ts';

const marker = new TextEncoder().encode('\0tdist-claim\0');

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const text = v.pipe(v.string(), v.maxLength(256));

const noteSchema = v.object({
  v: v.literal(1),
  claim: v.object({
    bucket: text,
    info: v.object({
      name: text,
      nuid: text,
      bytes: v.pipe(count, v.maxValue(limit.messageBytesMax)),
      chunkCount: count,
      digest: text,
    }),
    /** One receiver, who removes it; else it may have several and goes by its time to live. */
    once: v.boolean(),
    /** How long the sender waits for what it asks. */
    waitMs: count,
  }),
});
export type Claim = v.InferOutput<typeof noteSchema>['claim'];

export function writeNote(claim: Claim): Uint8Array {
  const note = encode({ v: 1, claim });
  const payload = new Uint8Array(marker.byteLength + note.byteLength);
  payload.set(marker);
  payload.set(note, marker.byteLength);
  return payload;
}

export function isNote(payload: Uint8Array): boolean {
  return payload[0] === 0 && marker.every((byte, at) => payload[at] === byte);
}

/** Of this bucket alone: a message must not make us read elsewhere. Throws a Fault `plane`. */
export function readNote(payload: Uint8Array, bucket: string): Claim {
  const { claim } = decode(noteSchema, payload.subarray(marker.byteLength), 'large message');
  if (claim.bucket === bucket) return claim;
  throw new Fault('plane', `large message: in bucket ${claim.bucket}, wanted ${bucket}`);
}
