// Import from another process's arena. Nothing in the arena is believed: the ticket is checked against
// our model, each header against the ticket, each payload against its checksum, and after the copy the
// generation is read again, so a block that was reused under our hands is noticed.

import { closeSync, existsSync, fstatSync, openSync } from 'node:fs';
import type { BlockRef, Geometry, Ticket } from '../protocol/ticket.ts';
import { Fault } from '../std/fault.ts';
import { checksum } from '../std/hash.ts';
import { mapSharedFile, unmap, viewBytes } from '../std/memory.ts';
import { type ArenaView, blockStride, shmFolder } from './arena.ts';
import { blockHeaderBytes, readGeneration, readHeader } from './block.ts';
import { describeGeometry, sameGeometry, tokenBytes } from './geometry.ts';
import type { KvPool } from './pool.ts';
import { prefixHashes } from './prefix.ts';
import type { KvImport } from './transfer.ts';

export class ShmImport implements KvImport {
  readonly #pool: KvPool;
  readonly #modelDigest: string;
  readonly #worker: string;
  readonly #dtype = 'float32';
  readonly #arenas = new Map<string, ArenaView>();

  constructor(options: { pool: KvPool; modelDigest: string; worker: string }) {
    this.#pool = options.pool;
    this.#modelDigest = options.modelDigest;
    this.#worker = options.worker;
  }

  fetch(request: { ticket: Ticket; ids: readonly number[]; slot: number }): number {
    const { ticket, ids, slot } = request;
    this.#refuseMismatch(ticket);
    this.#refuseOtherTokens(ticket, ids);
    const arena = this.#open(ticket.arena);
    for (const block of ticket.blocks) this.#fetchBlock(arena, ticket, block, slot);
    return ticket.tokens * tokenBytes(this.#pool.geometry);
  }

  /** Lets go of arenas whose owners are gone: their memory would stay taken until then. */
  sweep(): void {
    for (const [name, arena] of this.#arenas) {
      if (existsSync(`${shmFolder}/${name}`)) continue;
      this.#arenas.delete(name);
      unmap(arena.mapping);
    }
  }

  close(): void {
    for (const arena of this.#arenas.values()) unmap(arena.mapping);
    this.#arenas.clear();
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

  #open(name: string): ArenaView {
    const known = this.#arenas.get(name);
    if (known !== undefined) return known;
    let fd: number;
    try {
      fd = openSync(`${shmFolder}/${name}`, 'r');
    } catch (cause) {
      throw new Fault('transfer', `KV arena ${name} is gone; its worker has died or restarted`, {
        cause,
      });
    }
    try {
      const size = fstatSync(fd).size;
      const mapping = mapSharedFile(fd, size, 'read');
      const arena = { name, mapping, bytes: viewBytes(mapping.address, size) };
      this.#arenas.set(name, arena);
      return arena;
    } finally {
      closeSync(fd);
    }
  }

  #fetchBlock(arena: ArenaView, ticket: Ticket, block: BlockRef, slot: number): void {
    const geometry = this.#pool.geometry;
    const begin = block.index * blockStride(geometry);
    const payload = begin + blockHeaderBytes;
    const end = payload + block.count * tokenBytes(geometry);
    const fail = (flaw: string): never => {
      throw new Fault('transfer', `KV block ${block.index} of arena ${arena.name}: ${flaw}`);
    };
    if (end > arena.bytes.byteLength) fail('it lies outside the arena');
    const headerBytes = arena.bytes.subarray(begin, payload);
    const header = readHeader(headerBytes);
    if ('flaw' in header) return fail(header.flaw);
    if (header.generation !== block.generation) fail('its lease had expired and it was used again');
    const matches =
      header.hash === block.hash &&
      header.modelDigest === ticket.modelDigest &&
      header.dtype === ticket.dtype &&
      header.count === block.count &&
      header.firstPosition === block.firstPosition &&
      sameGeometry(header.geometry, geometry satisfies Geometry);
    if (!matches) fail('its header does not agree with the ticket');
    const rows = { slot, first: block.firstPosition, count: block.count };
    this.#pool.copyRows('in', rows, arena.mapping.address + payload);
    const sum = checksum(arena.bytes.subarray(payload, end));
    if (sum !== block.checksum || header.checksum !== block.checksum) {
      fail(`checksum ${sum}, wanted ${block.checksum}`);
    }
    if (readGeneration(headerBytes) !== block.generation)
      fail('it was used again while being read');
  }
}
