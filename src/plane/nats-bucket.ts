// One bucket over JetStream: in which order things happen. Chunks come before the meta message and go
// after it, so that nobody finds an info without its bytes; of several writers of one name exactly one
// gets its meta message in; whoever fails takes its chunks back.

import { toFault } from '../std/fault.ts';
import { ensureStream, purgeSubject, type StreamFacts, streamFacts } from './bucket-stream.ts';
import type { CallScope } from './call-scope.ts';
import type { JetStream } from './jetstream.ts';
import type { BucketHost } from './nats-object.ts';
import { type BucketLayout, bucketLayout } from './object-layout.ts';
import { type FoundMeta, findMeta } from './object-meta.ts';
import { putObject } from './object-put.ts';
import { readChunks } from './object-reader.ts';
import type {
  BucketOptions,
  FreshCall,
  ObjectBucket,
  ObjectCall,
  ObjectInfo,
  PutBytes,
  PutOutcome,
} from './object-store.ts';

/** Making a bucket is nobody's call alone: it has its own deadline. */
const ensureTimeoutMs = 5000;
/** The clock port counts whole seconds. */
const clockStepMs = 1000;

type Ensured = { readonly jetStream: JetStream; readonly facts: Promise<StreamFacts> };

/** What a call works with once the bucket is known to be there. */
type Ready = {
  readonly jetStream: JetStream;
  readonly scope: CallScope;
  readonly layout: BucketLayout;
  readonly facts: StreamFacts;
};

export class NatsBucket implements ObjectBucket {
  readonly name: string;
  readonly #host: BucketHost;
  readonly #options: BucketOptions;
  /** The stream as it was found or made over this connection. */
  #ensured: Ensured | null = null;

  constructor(host: BucketHost, options: BucketOptions) {
    this.#host = host;
    this.#options = options;
    this.name = options.name;
  }

  put(name: string, bytes: PutBytes, call: FreshCall): Promise<PutOutcome> {
    return this.#run(`put ${name}`, call, ({ jetStream, scope, layout, facts }) =>
      putObject({
        clock: this.#host.clock,
        chance: this.#host.chance,
        jetStream,
        scope,
        bucket: this.name,
        layout,
        name,
        bytes,
        isDirect: facts.isDirect,
        isFresh: (found) => this.#isFresh(found, facts, call.freshMs),
        later: (work) => this.#host.later(work),
      }),
    );
  }

  info(name: string, call: FreshCall): Promise<ObjectInfo | null> {
    return this.#run(`info of ${name}`, call, async ({ jetStream, scope, layout, facts }) => {
      const found = await findMeta(jetStream, layout, { name, isDirect: facts.isDirect, scope });
      return this.#isFresh(found, facts, call.freshMs) ? found.info : null;
    });
  }

  get(info: ObjectInfo, call: ObjectCall): Promise<Uint8Array<ArrayBuffer>> {
    return this.#run(`get ${info.name}`, call, async ({ jetStream, scope, layout }) => {
      const subject = layout.chunkSubject(info.nuid);
      const consumer = this.#host.chance.id();
      return await readChunks({ jetStream, scope, info, stream: layout.stream, subject, consumer });
    });
  }

  remove(info: ObjectInfo, call: ObjectCall): Promise<void> {
    return this.#run(`remove ${info.name}`, call, async ({ jetStream, scope, layout, facts }) => {
      const { stream } = layout;
      const { isDirect } = facts;
      const found = await findMeta(jetStream, layout, { name: info.name, isDirect, scope });
      if (found.info?.nuid === info.nuid) {
        // Purged, not marked as stock clients do: a marker for every block there ever was would pile up.
        const target = { stream, subject: layout.metaSubject(info.name), upTo: found.sequence };
        await purgeSubject(jetStream, target, scope);
      }
      const subject = layout.chunkSubject(info.nuid);
      await purgeSubject(jetStream, { stream, subject }, scope);
    });
  }

  usedBytes(call: ObjectCall): Promise<number> {
    return this.#run('bytes in use', call, async ({ jetStream, scope, layout: { stream } }) => {
      return (await streamFacts(jetStream, stream, scope)).usedBytes;
    });
  }

  #run<T>(what: string, call: ObjectCall, act: (ready: Ready) => Promise<T>): Promise<T> {
    const whole = `object bucket ${this.name}: ${what}`;
    return this.#host.run(whole, call, async (jetStream, scope) => {
      const layout = bucketLayout(this.name);
      const facts = await scope.of(this.#ensure(jetStream));
      try {
        return await act({ jetStream, scope, layout, facts });
      } catch (error) {
        const { reason } = toFault(error);
        // The bucket may have been deleted: the next call looks again.
        if (reason === 'timeout' || reason === 'unreachable') this.#ensured = null;
        throw error;
      }
    });
  }

  /** Once a connection; callers that come meanwhile wait for the same. */
  #ensure(jetStream: JetStream): Promise<StreamFacts> {
    if (this.#ensured?.jetStream === jetStream) return this.#ensured.facts;
    const call = { timeoutMs: ensureTimeoutMs };
    const facts = this.#host.run(`object bucket ${this.name}`, call, (_, scope) =>
      ensureStream(jetStream, this.#options, scope),
    );
    const ensured = { jetStream, facts };
    this.#ensured = ensured;
    facts.catch(() => {
      if (this.#ensured === ensured) this.#ensured = null;
    });
    return facts;
  }

  #isFresh(found: FoundMeta, { ttlMs }: StreamFacts, freshMs: number | undefined): boolean {
    if (found.info === null) return false;
    if (freshMs === undefined || ttlMs === 0) return true;
    const nowMs = this.#host.clock.epochS() * 1000 + clockStepMs;
    return found.storedMs + ttlMs - nowMs > freshMs;
  }
}
