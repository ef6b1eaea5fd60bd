// The stream behind a bucket: made at the first use unless it is there, its fill, and purging of a
// subject.

import * as v from 'valibot';
import type { CallScope } from './call-scope.ts';
import { flaw } from './call-scope.ts';
import { apiCode, isFull, type JetStream } from './jetstream.ts';
import { bucketLayout, streamConfig } from './object-layout.ts';
import type { BucketOptions } from './object-store.ts';

const infoSchema = v.object({
  config: v.object({
    max_age: v.optional(v.number(), 0),
    allow_direct: v.optional(v.boolean(), false),
  }),
  state: v.object({ bytes: v.number() }),
});

export type StreamFacts = {
  /** After so long a message is gone; 0: never. What it was made with, whoever made it. */
  readonly ttlMs: number;
  /** Whether every server that has a copy answers for it; if not, only the leader does. */
  readonly isDirect: boolean;
  readonly usedBytes: number;
};

const madeMeanwhile = [apiCode.streamNameTaken, apiCode.subjectsOverlap] as const;

export async function ensureStream(
  jetStream: JetStream,
  options: BucketOptions,
  scope: CallScope,
): Promise<StreamFacts> {
  const { stream } = bucketLayout(options.name);
  const found = await jetStream.api(`STREAM.INFO.${stream}`, null, scope);
  if (found.error === null) return factsOf(jetStream, found.value, scope);
  if (found.error.errCode !== apiCode.streamNotFound) throw jetStream.refusal(found.error, scope);
  const config = streamConfig(options);
  const made = await jetStream.api(`STREAM.CREATE.${stream}`, config, scope);
  if (made.error === null) return factsOf(jetStream, made.value, scope);
  // Somebody made it at the same moment: the server says so, or that its subjects are taken.
  if (madeMeanwhile.some((code) => code === made.error.errCode)) {
    return await streamFacts(jetStream, stream, scope);
  }
  if (!isFull(made.error)) throw jetStream.refusal(made.error, scope);
  const asked = `${options.bytesMax} bytes of ${options.storage} storage`;
  const mend =
    'make the bucket smaller, or raise max_memory_store or max_file_store in nats-server';
  const where = `${scope.what}: ${jetStream.link.shown} has no room for ${asked}`;
  throw flaw('unreachable', `${where} (${made.error.text}); ${mend}`);
}

export async function streamFacts(
  jetStream: JetStream,
  stream: string,
  scope: CallScope,
): Promise<StreamFacts> {
  const { error, value } = await jetStream.api(`STREAM.INFO.${stream}`, null, scope);
  if (error !== null) throw jetStream.refusal(error, scope);
  return factsOf(jetStream, value, scope);
}

function factsOf(jetStream: JetStream, value: unknown, scope: CallScope): StreamFacts {
  const { config, state } = jetStream.fitting(infoSchema, value, scope);
  return {
    ttlMs: config.max_age / 1e6,
    isDirect: config.allow_direct,
    usedBytes: state.bytes,
  };
}

/** Removes what a subject has, up to the message `upTo` if given. Harmless when there is nothing. */
export async function purgeSubject(
  jetStream: JetStream,
  target: { readonly stream: string; readonly subject: string; readonly upTo?: number },
  scope: CallScope,
): Promise<void> {
  const { stream, subject, upTo } = target;
  const query = { filter: subject, ...(upTo === undefined ? {} : { seq: upTo + 1 }) };
  const { error } = await jetStream.api(`STREAM.PURGE.${stream}`, query, scope);
  if (error !== null && error.errCode !== apiCode.streamNotFound) {
    throw jetStream.refusal(error, scope);
  }
}
