// A prompt's blocks out of this worker's arena into the bucket, each as soon as it is staged, while the
// rest of the prompt is still being computed. A block that the bucket has is not sent again; a full
// bucket first loses what this worker put and nobody reads any more, least recent first, and is then
// waited on for a moment (limit.objectRoomWaitMs).

import { limit } from '../protocol/limit.ts';
import type { BlockRef, ObjectBlock, ObjectTicket, ShmTicket } from '../protocol/ticket.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { ArenaView } from './arena.ts';
import { copyFrame } from './frame.ts';
import type { HeldObject, ObjectPut } from './object-put.ts';
import { Semaphore } from './semaphore.ts';
import type { KvSend, Sending } from './transfer.ts';

/** What a reader says of an object that is not what its ticket promised. */
const doubtful: ReadonlySet<string> = new Set(['missing', 'truncated', 'corrupt', 'digest']);

type Upload = {
  readonly sending: Sending;
  readonly over: AbortController;
  /** By first position. */
  readonly blocks: Map<number, Promise<ObjectBlock>>;
  readonly held: HeldObject[];
};

export class ObjectSend implements KvSend {
  readonly #arena: () => ArenaView;
  readonly #frameBytes: (count: number) => number;
  readonly #put: ObjectPut;
  readonly #clock: Clock;
  readonly #lanes = new Semaphore(limit.objectLaneMax);
  readonly #uploads = new Map<string, Upload>();

  constructor(options: {
    /** This worker's arena, as another thread of the process sees it. */
    readonly arena: () => ArenaView;
    /** Bytes of a block of so many tokens, header and payload. */
    readonly frameBytes: (count: number) => number;
    readonly put: ObjectPut;
    readonly clock: Clock;
  }) {
    this.#arena = options.arena;
    this.#frameBytes = options.frameBytes;
    this.#put = options.put;
    this.#clock = options.clock;
  }

  begin(sending: Sending): void {
    const over = new AbortController();
    this.#uploads.set(sending.requestId, { sending, over, blocks: new Map(), held: [] });
  }

  stage(requestId: string, blocks: readonly BlockRef[]): void {
    const upload = this.#uploads.get(requestId);
    if (upload === undefined) return;
    for (const block of blocks) {
      const { firstPosition } = block;
      if (firstPosition < upload.sending.heldTokens || upload.blocks.has(firstPosition)) continue;
      const sent = this.#send(upload, block);
      upload.blocks.set(firstPosition, sent);
      sent.then(
        (one) => upload.sending.announce([one]),
        () => undefined, // whoever asks for the ticket hears of it
      );
    }
  }

  async offer(requestId: string, ticket: ShmTicket): Promise<ObjectTicket> {
    const upload = this.#uploads.get(requestId);
    if (upload === undefined) throw gone(requestId);
    const beganMs = this.#clock.nowMs();
    this.stage(requestId, ticket.blocks);
    const order = [...upload.blocks].sort(([a], [b]) => a - b).map(([, block]) => block);
    const timer = this.#clock.after(limit.objectTransferMs, () => {
      const text = `KV of ${requestId} was not uploaded within ${limit.objectTransferMs} ms`;
      upload.over.abort(new Fault('transfer', text, { reason: 'timeout' }));
    });
    try {
      const blocks = await Promise.all(order);
      const { owner, modelDigest, dtype, geometry, tokens } = ticket;
      const exportMs = ticket.exportMs + this.#clock.nowMs() - beganMs;
      return { kind: 'object', owner, modelDigest, dtype, geometry, tokens, blocks, exportMs };
    } catch (thrown) {
      throw await whyNot(order, upload.over.signal, thrown);
    } finally {
      timer.cancel();
    }
  }

  end(requestId: string): void {
    const upload = this.#uploads.get(requestId);
    if (upload === undefined) return;
    this.#uploads.delete(requestId);
    upload.over.abort(gone(requestId));
    for (const one of upload.held) one.letGo();
  }

  refused(requestId: string, reason: string): void {
    if (!doubtful.has(reason)) return;
    // Which block it was is not told; to send a few anew costs less than to fail until they expire.
    for (const { info } of this.#uploads.get(requestId)?.held ?? []) this.#put.doubt(info);
  }

  /** Prompts under way. */
  get count(): number {
    return this.#uploads.size;
  }

  savedBytes(): number {
    return this.#put.savedBytes;
  }

  async #send(upload: Upload, block: BlockRef): Promise<ObjectBlock> {
    const { signal } = upload.over;
    const { hash, firstPosition, count, index, generation } = block;
    const bytes = this.#frameBytes(count);
    const info = await this.#lanes.run(signal, async () => {
      // Only now: a long prompt's blocks would else lie in memory twice while they wait.
      const frame = () => copyFrame(this.#arena(), { index, generation, bytes });
      const held = await this.#put.put(hash, { bytes, frame, signal });
      if (this.#uploads.get(upload.sending.requestId) === upload) upload.held.push(held);
      else held.letGo();
      return held.info;
    });
    const { nuid, chunkCount, digest } = info;
    return { firstPosition, count, hash, nuid, bytes: info.bytes, chunkCount, digest };
  }
}

/** A full bucket is why time ran out; else what ended the upload, or its first failure. */
async function whyNot(
  blocks: readonly Promise<ObjectBlock>[],
  signal: AbortSignal,
  thrown: unknown,
): Promise<Fault> {
  if (!signal.aborted) return toFault(thrown, 'transfer');
  for (const end of await Promise.allSettled(blocks)) {
    if (end.status !== 'rejected') continue;
    const fault = toFault(end.reason, 'transfer');
    if (fault.reason === 'full') return fault;
  }
  return toFault(signal.reason, 'transfer');
}

function gone(requestId: string): Fault {
  return new Fault('cancelled', `the transfer of ${requestId} was ended`, { reason: 'cancelled' });
}
