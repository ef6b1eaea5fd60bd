// Other workers' arenas on this host, mapped read-only: the one a ticket names, and all that hold the
// same kind of KV, in which cached blocks can be found. Arenas of dead owners are let go of.

import { Fault } from '../std/fault.ts';
import { type ArenaView, arenaPrefix, readArena, shmFolder } from './arena.ts';
import { type ShmFiles, shmFiles } from './shm-files.ts';

export type FoundBlock = { readonly arena: ArenaView; readonly index: number };

type Peer = {
  readonly arena: ArenaView;
  /** Key → block, as the table stood at `version`; a hint, as the table is one. */
  readonly index: Map<bigint, number>;
  /** The table as it stood then, two words a block: bigints are made for what has changed only. */
  readonly seen: Int32Array;
  version: number;
};

export class PeerArenas {
  readonly #identity: string;
  readonly #ownName: string | null;
  readonly #files: ShmFiles;
  readonly #peers = new Map<string, Peer>();

  constructor(options: {
    identity: string;
    ownName: string | null;
    folder?: string;
    /** Instead of the folder's. */
    files?: ShmFiles;
  }) {
    this.#identity = options.identity;
    this.#ownName = options.ownName;
    this.#files = options.files ?? shmFiles(options.folder ?? shmFolder);
  }

  /** The arena of that name. Throws a Fault `transfer` when it cannot be had. */
  open(name: string): ArenaView {
    const known = this.#peers.get(name);
    if (known !== undefined) return known.arena;
    const arena = this.#map(name);
    const seen = new Int32Array(arena.blockCount * 2);
    this.#peers.set(name, { arena, index: new Map(), seen, version: -1 });
    return arena;
  }

  /** Blocks of that key in arenas of our kind, one of each that has any. */
  *find(key: bigint): Generator<FoundBlock, void> {
    for (const peer of this.#peers.values()) {
      if (peer.arena.identity !== this.#identity) continue;
      refresh(peer);
      const index = peer.index.get(key);
      if (index !== undefined) yield { arena: peer.arena, index };
    }
  }

  has(key: bigint): boolean {
    return this.find(key).next().done === false;
  }

  /** Looks who has come and who has gone. */
  sweep(): void {
    for (const [name, { arena }] of this.#peers) {
      if (this.#files.has(name)) continue;
      this.#peers.delete(name);
      this.#files.unmap(arena.mapping);
    }
    for (const name of this.#names()) {
      if (name === this.#ownName || this.#peers.has(name)) continue;
      try {
        this.open(name);
      } catch (thrown) {
        if (!(thrown instanceof Fault)) throw thrown; // gone again, or still being set up: next time
      }
    }
  }

  close(): void {
    for (const { arena } of this.#peers.values()) this.#files.unmap(arena.mapping);
    this.#peers.clear();
  }

  #names(): string[] {
    return this.#files.names().filter((name) => name.startsWith(arenaPrefix));
  }

  #map(name: string): ArenaView {
    const mapping = this.#files.map(name);
    const arena = readArena(name, mapping);
    if (!('flaw' in arena)) return arena;
    this.#files.unmap(mapping);
    throw new Fault('transfer', `KV arena ${name} cannot be read: ${arena.flaw}`);
  }
}

/**
 * Takes over what has changed since the last look. The version is read first: what the owner changes
 * while we look, even half a key, is looked at again next time.
 */
function refresh(peer: Peer): void {
  const { arena, index, seen } = peer;
  const version = arena.version[0] ?? 0;
  if (version === peer.version) return;
  peer.version = version;
  const { buffer, byteOffset } = arena.table;
  const words = new Int32Array(buffer, byteOffset, seen.length);
  for (let block = 0; block < arena.blockCount; block++) {
    const [low, high] = [words[block * 2] ?? 0, words[block * 2 + 1] ?? 0];
    const [oldLow, oldHigh] = [seen[block * 2] ?? 0, seen[block * 2 + 1] ?? 0];
    if (low === oldLow && high === oldHigh) continue;
    const old = keyOf(oldLow, oldHigh);
    if (index.get(old) === block) index.delete(old);
    const key = keyOf(low, high);
    if (key !== 0n) index.set(key, block);
    seen[block * 2] = low;
    seen[block * 2 + 1] = high;
  }
}

function keyOf(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
