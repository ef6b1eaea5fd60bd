// Import from another process's arena. Nothing in the arena is believed: the ticket is checked against
// our model, each header against the ticket, each payload against its checksum, and after the copy the
// generation is read again, so a block that was reused under our hands is noticed.

import type { ShmTicket } from '../protocol/ticket.ts';
import { Fault } from '../std/fault.ts';
import { readBlock } from './block-io.ts';
import { readFrame } from './frame.ts';
import { describeGeometry, sameGeometry, tokenBytes } from './geometry.ts';
import type { PeerArenas } from './peers.ts';
import type { KvPool } from './pool.ts';
import { prefixHashes } from './prefix.ts';
import type { KvImport } from './transfer.ts';

export class ShmImport implements KvImport {
  readonly #peers: PeerArenas;
  readonly #pool: KvPool;
  readonly #modelDigest: string;
  readonly #dtype: string;
  readonly #worker: string;
  /** Of the prompt whose blocks arrive: they come one by one. */
  #hashed: { readonly ids: readonly number[]; readonly hashes: readonly string[] } | null = null;

  constructor(options: {
    peers: PeerArenas;
    pool: KvPool;
    modelDigest: string;
    dtype: string;
    worker: string;
  }) {
    this.#peers = options.peers;
    this.#pool = options.pool;
    this.#modelDigest = options.modelDigest;
    this.#dtype = options.dtype;
    this.#worker = options.worker;
  }

  fetch(request: {
    ticket: ShmTicket;
    ids: readonly number[];
    slot: number;
    from: number;
  }): number {
    const { ticket, ids, slot, from } = request;
    this.#refuseMismatch(ticket);
    this.#refuseOtherTokens(ticket, ids);
    const arena = this.#peers.open(ticket.arena);
    let tokens = 0;
    for (const block of ticket.blocks) {
      if (block.firstPosition < from) continue;
      tokens += block.count;
      const rows = { slot, first: block.firstPosition, count: block.count };
      const { modelDigest, dtype } = ticket;
      readBlock(arena, { ...block, modelDigest, dtype }, rows, this.#pool);
    }
    return this.bytesOf(tokens);
  }

  put(request: {
    frame: Uint8Array<ArrayBuffer>;
    ids: readonly number[];
    slot: number;
    from: number;
  }): number {
    const { frame, ids, slot, from } = request;
    const { blockTokens } = this.#pool.geometry;
    const count = Math.min(blockTokens, ids.length - from);
    const hash = this.#hashAt(ids, from / blockTokens);
    if (hash === undefined) {
      throw new Fault('transfer', `KV block at ${from}: the prompt has ${ids.length} tokens`, {
        reason: 'order',
      });
    }
    const wanted = { hash, modelDigest: this.#modelDigest, dtype: this.#dtype };
    readFrame(frame, wanted, { slot, first: from, count }, this.#pool);
    return count;
  }

  bytesOf(tokens: number): number {
    return tokens * tokenBytes(this.#pool.geometry);
  }

  #hashAt(ids: readonly number[], index: number): string | undefined {
    if (this.#hashed?.ids !== ids) {
      const { blockTokens } = this.#pool.geometry;
      const options = { modelDigest: this.#modelDigest, dtype: this.#dtype, blockTokens };
      this.#hashed = { ids, hashes: prefixHashes(ids, options) };
    }
    return this.#hashed.hashes[index];
  }

  #refuseMismatch(ticket: ShmTicket): void {
    const compare = (what: string, theirs: string, ours: string): void => {
      if (theirs === ours) return;
      throw new Fault(
        'mismatch',
        `KV hand-over refused: ${what} of context worker ${ticket.owner} is ${theirs}, ` +
          `of generate worker ${this.#worker} ${ours}; start both with the same model and flags`,
      );
    };
    compare('model digest', ticket.modelDigest, this.#modelDigest);
    compare('KV dtype', ticket.dtype, this.#dtype);
    const own = this.#pool.geometry;
    if (!sameGeometry(ticket.geometry, own)) {
      compare('KV geometry', describeGeometry(ticket.geometry), describeGeometry(own));
    }
  }

  /** The blocks must cover exactly the prompt's tokens, in order, under the names they ought to have. */
  #refuseOtherTokens(ticket: ShmTicket, ids: readonly number[]): void {
    const { blockTokens } = this.#pool.geometry;
    const wanted = prefixHashes(ids, {
      modelDigest: this.#modelDigest,
      dtype: this.#dtype,
      blockTokens,
    });
    const fits =
      ticket.tokens === ids.length &&
      ticket.blocks.length === wanted.length &&
      ticket.blocks.every(
        (block, i) =>
          block.hash === wanted[i] &&
          block.firstPosition === i * blockTokens &&
          block.count === Math.min(blockTokens, ids.length - i * blockTokens),
      );
    if (!fits)
      throw new Fault('transfer', 'KV hand-over refused: its blocks are not of this prompt');
  }
}
