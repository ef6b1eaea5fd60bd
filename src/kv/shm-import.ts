// Import from another process's arena. Nothing in the arena is believed: the ticket is checked against
// our model, each header against the ticket, each payload against its checksum, and after the copy the
// generation is read again, so a block that was reused under our hands is noticed. Of the dtype only
// must be known how it is read: the other worker may store KV in another one than we do.

import { isKvDtype, type KvDtype, kvBytes, kvDtypes, kvPayloadBytes } from '../protocol/kv-size.ts';
import type { ShmTicket } from '../protocol/ticket.ts';
import { Fault } from '../std/fault.ts';
import { readBlock } from './block-io.ts';
import { frameDtype, readFrame } from './frame.ts';
import { describeGeometry, sameGeometry } from './geometry.ts';
import type { KvIdentity } from './identity.ts';
import type { PeerArenas } from './peers.ts';
import type { KvSlots } from './pool.ts';
import type { ArrivedBlock, KnownPrompt, KvImport } from './transfer.ts';

export class ShmImport implements KvImport {
  readonly #peers: PeerArenas;
  readonly #pool: KvSlots;
  readonly #kv: KvIdentity;
  readonly #worker: string;
  /** Of the prompt whose blocks arrive: they come one by one. */
  #hashed: {
    readonly ids: readonly number[];
    readonly dtype: KvDtype;
    readonly hashes: readonly string[];
  } | null = null;

  constructor(options: { peers: PeerArenas; pool: KvSlots; kv: KvIdentity; worker: string }) {
    this.#peers = options.peers;
    this.#pool = options.pool;
    this.#kv = options.kv;
    this.#worker = options.worker;
  }

  fetch(request: KnownPrompt & { readonly ticket: ShmTicket; readonly from: number }): number {
    const { ticket, ids, salt, slot, from } = request;
    const kv = this.#understood(ticket);
    refuseOtherTokens(ticket, kv.hashes(ids, salt), ids.length);
    const arena = this.#peers.open(ticket.arena);
    let bytes = 0;
    for (const wanted of ticket.blocks) {
      if (wanted.firstPosition < from) continue;
      const rows = { slot, first: wanted.firstPosition, count: wanted.count };
      readBlock(arena, { kv, wanted, rows }, this.#pool);
      bytes += kvPayloadBytes(kv.dtype, kv.geometry, rows.count);
    }
    return bytes;
  }

  put({ frame, ids, salt, slot, from }: ArrivedBlock): number {
    const dtype = frameDtype(frame);
    const { blockTokens } = this.#pool.geometry;
    const hash = this.#hashesOf(ids, salt, dtype)[from / blockTokens];
    if (hash === undefined) {
      const text = `KV block at position ${from}: the prompt has ${ids.length} tokens`;
      throw new Fault('transfer', text, { reason: 'order' });
    }
    const rows = { slot, first: from, count: Math.min(blockTokens, ids.length - from) };
    readFrame(frame, { kv: this.#kv.as(dtype), hash, rows }, this.#pool);
    return rows.count;
  }

  bytesOf(tokens: number): number {
    return kvBytes(this.#kv.dtype, this.#kv.geometry, tokens);
  }

  #hashesOf(ids: readonly number[], salt: string | undefined, dtype: KvDtype): readonly string[] {
    if (this.#hashed?.ids !== ids || this.#hashed.dtype !== dtype) {
      this.#hashed = { ids, dtype, hashes: this.#kv.as(dtype).hashes(ids, salt) };
    }
    return this.#hashed.hashes;
  }

  /** Our KV as the ticket's dtype stores it. Throws a Fault `mismatch` that names both sides. */
  #understood(ticket: ShmTicket): KvIdentity {
    const compare = (what: string, theirs: string, ours: string): void => {
      if (theirs === ours) return;
      throw new Fault(
        'mismatch',
        `KV hand-over refused: ${what} of context worker ${ticket.owner} is ${theirs}, ` +
          `of generate worker ${this.#worker} ${ours}; start both with the same model and flags`,
      );
    };
    compare('model digest', ticket.modelDigest, this.#kv.modelDigest);
    const own = this.#kv.geometry;
    if (!sameGeometry(ticket.geometry, own)) {
      compare('KV geometry', describeGeometry(ticket.geometry), describeGeometry(own));
    }
    if (isKvDtype(ticket.dtype)) return this.#kv.as(ticket.dtype);
    throw new Fault(
      'mismatch',
      `KV hand-over refused: KV dtype of context worker ${ticket.owner} is ${ticket.dtype}, ` +
        `generate worker ${this.#worker} has ${this.#kv.dtype} and reads ${kvDtypes.join(', ')}; ` +
        'start both in the same version',
    );
  }
}

/** The blocks must cover exactly the prompt's tokens, in order, under the names they ought to have. */
function refuseOtherTokens(ticket: ShmTicket, hashes: readonly string[], tokens: number): void {
  const { blockTokens } = ticket.geometry;
  const fits =
    ticket.tokens === tokens &&
    ticket.blocks.length === hashes.length &&
    ticket.blocks.every(
      (block, i) =>
        block.hash === hashes[i] &&
        block.firstPosition === i * blockTokens &&
        block.count === Math.min(blockTokens, tokens - i * blockTokens),
    );
  if (!fits) throw new Fault('transfer', 'KV hand-over refused: its blocks are not of this prompt');
}
