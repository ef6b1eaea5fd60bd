// One put: looks whether the name is there, publishes the chunks, then the meta message, which gets in
// only if nobody else's has since. Whoever loses, is refused or is given up takes its chunks back, after
// the server has answered each of them: a purge would overtake those that still stand in its queue.

import type { Clock } from '../std/clock.ts';
import type { Chance } from '../std/prng.ts';
import { purgeSubject } from './bucket-stream.ts';
import { CallScope, flaw } from './call-scope.ts';
import { apiCode, isFull, type JetStream } from './jetstream.ts';
import { type BucketLayout, chunkBytesWanted, encodeMeta } from './object-layout.ts';
import { type FoundMeta, findMeta, writeMeta } from './object-meta.ts';
import type { ObjectInfo, PutBytes, PutOutcome } from './object-store.ts';
import { ChunkWriter } from './object-writer.ts';

/** How long what a failed put has left is waited for, and then purged, behind its caller's back. */
const cleanTimeoutMs = 3000;
/** For the meta message's answer, which decides what happens to the chunks. */
const metaTimeoutMs = 5000;
/** How often somebody else's meta message may come and go under a writer before it gives up. */
const attemptMax = 5;

export type PutOptions = {
  readonly clock: Clock;
  readonly chance: Chance;
  readonly jetStream: JetStream;
  readonly scope: CallScope;
  readonly bucket: string;
  readonly layout: BucketLayout;
  readonly isDirect: boolean;
  readonly name: string;
  readonly bytes: PutBytes;
  /** Whether what is there counts as there. */
  readonly isFresh: (found: FoundMeta) => boolean;
  /** Takes over work that goes on after the call. */
  readonly later: (work: Promise<void>) => void;
};

type WriteOptions = Omit<PutOptions, 'bytes'> & { readonly bytes: Uint8Array };

export async function putObject(options: PutOptions): Promise<PutOutcome> {
  const { jetStream, layout, scope } = options;
  const found = await findMeta(jetStream, layout, options);
  if (found.info !== null && options.isFresh(found)) {
    return { outcome: 'present', info: found.info };
  }
  const bytes = typeof options.bytes === 'function' ? options.bytes() : options.bytes;
  const writing = new Writing({ ...options, bytes });
  try {
    const outcome = await writing.run(found);
    if (outcome.outcome === 'stored') return outcome;
    const cleaned = writing.clean();
    options.later(cleaned);
    await scope.of(cleaned).catch(() => undefined); // it goes on; the outcome stands
    return outcome;
  } catch (error) {
    options.later(writing.clean());
    throw error;
  }
}

class Writing {
  readonly #options: WriteOptions;
  readonly #nuid: string;
  readonly #subject: string;
  readonly #chunkBytes: number;
  readonly #writer: ChunkWriter;
  /** The meta message under way: its answer decides whether the chunks stay. */
  #metaSent: Promise<unknown> = Promise.resolve();

  constructor(options: WriteOptions) {
    const { jetStream, scope, bytes, layout } = options;
    this.#options = options;
    this.#nuid = options.chance.id();
    this.#subject = layout.chunkSubject(this.#nuid);
    this.#chunkBytes = Math.min(chunkBytesWanted, jetStream.link.maxPayloadBytes);
    const [subject, chunkBytes] = [this.#subject, this.#chunkBytes];
    this.#writer = new ChunkWriter({ jetStream, scope, subject, bytes, chunkBytes });
  }

  async run(found: FoundMeta): Promise<PutOutcome> {
    const { bytes, name } = this.#options;
    if ((await this.#writer.write()) === 'full') return { outcome: 'full' };
    this.#writer.end();
    const { chunkCount } = this.#writer;
    const digest = this.#writer.finish();
    const info = { name, nuid: this.#nuid, bytes: bytes.byteLength, chunkCount, digest };
    return await this.#announce(info, found);
  }

  /** Leaves the object alone if its meta message got in after all. Never throws. */
  async clean(): Promise<void> {
    const { clock, jetStream, layout, name, isDirect } = this.#options;
    const what = `purge of ${this.#subject}`;
    using scope = new CallScope({ clock, call: { timeoutMs: cleanTimeoutMs }, what });
    const forget = jetStream.link.onLost((fault) => scope.fail(fault));
    try {
      if (!this.#writer.hasSent) return;
      await this.#writer.settle(scope);
      await scope.of(this.#metaSent.catch(() => undefined));
      const found = await findMeta(jetStream, layout, { name, isDirect, scope });
      if (found.info?.nuid === this.#nuid) return;
      const target = { stream: layout.stream, subject: this.#subject };
      await purgeSubject(jetStream, target, scope);
    } catch {
      // Without the server nobody can purge them; they go when the bucket's time is over.
    } finally {
      this.#writer.end();
      forget();
    }
  }

  async #announce(info: ObjectInfo, first: FoundMeta): Promise<PutOutcome> {
    const { jetStream, layout, scope } = this.#options;
    let found = first;
    for (let attempt = 0; attempt < attemptMax; attempt++) {
      const error = await scope.of(this.#sendMeta(info, found.sequence));
      if (error === null) return { outcome: 'stored', info };
      if (isFull(error)) return { outcome: 'full' };
      if (error.errCode !== apiCode.wrongLastSequence) throw jetStream.refusal(error, scope);
      found = await findMeta(jetStream, layout, this.#options);
      if (found.info !== null && this.#options.isFresh(found)) {
        return { outcome: 'present', info: found.info };
      }
    }
    throw flaw('unreachable', `${scope.what}: others wrote it ${attemptMax} times meanwhile`);
  }

  /** In a scope of its own: a caller who gives up must not leave it open whether it got in. */
  #sendMeta(info: ObjectInfo, expected: number) {
    const { clock, jetStream, layout, bucket, name, scope: caller } = this.#options;
    const send = async () => {
      const call = { timeoutMs: metaTimeoutMs };
      using scope = new CallScope({ clock, call, what: caller.what });
      const forget = jetStream.link.onLost((fault) => scope.fail(fault));
      const more = { bucket, chunkBytes: this.#chunkBytes, epochS: clock.epochS() };
      const data = encodeMeta(info, more);
      try {
        return await writeMeta(jetStream, layout.metaSubject(name), { data, expected, scope });
      } finally {
        forget();
      }
    };
    const sent = send();
    this.#metaSent = sent;
    return sent;
  }
}
