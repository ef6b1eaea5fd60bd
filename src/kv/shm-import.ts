// Import from another process's arena. Nothing in the arena is believed: the ticket is checked against
// our model, each header against the ticket, each payload against its checksum, and after the copy the
// generation is read again, so a block that was reused under our hands is noticed.

import type { Ticket } from '../protocol/ticket.ts';
import { Fault } from '../std/fault.ts';
import { readBlock } from './block-io.ts';
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

  fetch(request: { ticket: Ticket; ids: readonly number[]; slot: number }): number {
    const { ticket, ids, slot } = request;
    this.#refuseMismatch(ticket);
    this.#refuseOtherTokens(ticket, ids);
    const arena = this.#peers.open(ticket.arena);
    for (const block of ticket.blocks) {
      const rows = { slot, first: block.firstPosition, count: block.count };
      const { modelDigest, dtype } = ticket;
      readBlock(arena, { ...block, modelDigest, dtype }, rows, this.#pool);
    }
    return ticket.tokens * tokenBytes(this.#pool.geometry);
  }

  #refuseMismatch(ticket: Ticket): void {
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
  #refuseOtherTokens(ticket: Ticket, ids: readonly number[]): void {
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
