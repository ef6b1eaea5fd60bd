// Finds and writes an object's meta message. The latest one of a name counts; it is read from whichever
// server is asked (direct get), or from the stream's leader where a bucket does not allow that: a direct
// get would get no answer then, not even a refusal.

import * as v from 'valibot';
import type { CallScope } from './call-scope.ts';
import { type ApiError, apiCode, type JetStream } from './jetstream.ts';
import { type BucketLayout, decodeMeta } from './object-layout.ts';
import type { ObjectInfo } from './object-store.ts';

export type FoundMeta = {
  /** Null for a name that a stock client has deleted: its marker is still there. */
  readonly info: ObjectInfo | null;
  /** Of the meta message in the stream; 0 when there is none. */
  readonly sequence: number;
  /** When the server stored it, milliseconds since 1970. */
  readonly storedMs: number;
};

const none: FoundMeta = { info: null, sequence: 0, storedMs: 0 };

export async function findMeta(
  jetStream: JetStream,
  layout: BucketLayout,
  options: { readonly name: string; readonly isDirect: boolean; readonly scope: CallScope },
): Promise<FoundMeta> {
  const { name, scope } = options;
  if (!options.isDirect) return await fromLeader(jetStream, layout, options);
  const subject = layout.metaSubject(name);
  const direct = `$JS.API.DIRECT.GET.${layout.stream}.${subject}`;
  const message = await jetStream.ask(direct, '', scope);
  const { headers } = message;
  // 404: it may be a follower that lags behind.
  if (headers === undefined || headers.code !== 0)
    return await fromLeader(jetStream, layout, options);
  return {
    info: decodeMeta(message.data, name),
    sequence: Number(headers.get('Nats-Sequence')),
    storedMs: Date.parse(headers.get('Nats-Time-Stamp')),
  };
}

const storedSchema = v.object({
  message: v.object({ seq: v.number(), data: v.optional(v.string(), ''), time: v.string() }),
});

async function fromLeader(
  jetStream: JetStream,
  { stream, metaSubject }: BucketLayout,
  { name, scope }: { readonly name: string; readonly scope: CallScope },
): Promise<FoundMeta> {
  const query = { last_by_subj: metaSubject(name) };
  const { error, value } = await jetStream.api(`STREAM.MSG.GET.${stream}`, query, scope);
  if (error?.errCode === apiCode.messageNotFound) return none;
  if (error !== null) throw jetStream.refusal(error, scope);
  const { message } = jetStream.fitting(storedSchema, value, scope);
  return {
    info: decodeMeta(Buffer.from(message.data, 'base64'), name),
    sequence: message.seq,
    storedMs: Date.parse(message.time),
  };
}

/** Only if the name's meta message is still the one of `expected` (0: none): one writer wins. */
export async function writeMeta(
  jetStream: JetStream,
  subject: string,
  options: { readonly data: Uint8Array; readonly expected: number; readonly scope: CallScope },
): Promise<ApiError | null> {
  const { data, expected, scope } = options;
  const headers = {
    'Nats-Rollup': 'sub',
    'Nats-Expected-Last-Subject-Sequence': String(expected),
  };
  return jetStream.read(await jetStream.ask(subject, data, scope, headers), scope).error;
}
