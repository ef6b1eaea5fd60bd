// KV between workers and over time, as ports.
//
//   in the engine's thread   KvExport  slot → arena                    kv/shm-export.ts
//                            KvImport  arena, or arrived bytes → slot  kv/shm-import.ts
//                            KvCache   arenas of the host ⇄ slot       kv/prefix-cache.ts
//   in the main thread       KvSend    arena → where the reader gets it   kv/object-send.ts
//                            KvReceive …and from there to the engine      kv/object-receive.ts
//
// Through shared memory there is nothing to send, the ticket names the arena (kv/shm-path.ts).

import type { BlockRef, ObjectBlock, ShmTicket, Ticket } from '../protocol/ticket.ts';
import type { Fault } from '../std/fault.ts';

/** How KV gets from worker to worker. */
export type KvPaths = {
  readonly send: Readonly<Record<Ticket['kind'], KvSend>>;
  readonly receive: Readonly<Record<Ticket['kind'], KvReceive>>;
};

/** A prompt whose KV lies, or shall lie, in a slot; its blocks are named by its ids and its salt. */
export type KnownPrompt = {
  readonly ids: readonly number[];
  readonly salt?: string | undefined;
  readonly slot: number;
};

export type KvExport = {
  /**
   * Stages every block of `ids` that is filled by position `computed`; at the prompt's end the rest.
   * Returns those that this call has staged.
   */
  append(request: {
    requestId: string;
    ids: readonly number[];
    salt?: string | undefined;
    slot: number;
    computed: number;
  }): readonly BlockRef[];
  /** The ticket, and the lease starts; null when the arena had no room. */
  offer(requestId: string, leaseMs: number): ShmTicket | null;
  release(requestId: string): void;
  /** Takes back what nobody fetched in time; returns the requests concerned. */
  sweep(): string[];
};

export type KvCache = {
  /**
   * Fills the slot with the KV of the longest known beginning of `ids`, full blocks and never all of
   * them, behind the first `from` that it holds (they stay as they are). Returns how many it then holds.
   */
  restore(request: KnownPrompt & { readonly from: number }): number;
  /** Leaves the full blocks of the first `computed` tokens of `ids` behind, as far as there is room. */
  keep(request: KnownPrompt & { readonly computed: number }): void;
};

/** A block of a prompt, header and payload, and the position at which it begins. */
export type ArrivedBlock = KnownPrompt & {
  readonly frame: Uint8Array<ArrayBuffer>;
  readonly from: number;
};

export type KvImport = {
  /**
   * Copies the KV of `ids` from position `from` on (a block's begin) into the slot. Returns the bytes
   * copied; throws a Fault `mismatch` when the two workers cannot understand each other, `transfer`
   * when the blocks are gone or damaged.
   */
  fetch(request: KnownPrompt & { readonly ticket: ShmTicket; readonly from: number }): number;
  /**
   * One block that has arrived, header and payload, at position `from`. Returns the tokens it holds;
   * throws as `fetch`.
   */
  put(request: ArrivedBlock): number;
  /** Bytes of so many tokens as they travel. */
  bytesOf(tokens: number): number;
};

/** A prefill whose KV somebody waits for. */
export type Sending = {
  readonly requestId: string;
  /** Leading tokens that the reader holds already. */
  readonly heldTokens: number;
  /** Called as blocks become readable, in any order. */
  readonly announce: (blocks: readonly ObjectBlock[]) => void;
};

export type KvSend = {
  begin(sending: Sending): void;
  /** The blocks lie in this worker's arena, held by the request. */
  stage(requestId: string, blocks: readonly BlockRef[]): void;
  /** Resolves when the reader can read all of it; rejects with a Fault `transfer` and its reason. */
  offer(requestId: string, ticket: ShmTicket): Promise<Ticket>;
  /** The reader could not use what was offered, for that reason: others shall not fail of it, too. */
  refused(requestId: string, reason: string): void;
  /** Over, at whatever point: what is under way is ended. Harmless when unknown. */
  end(requestId: string): void;
  /** Bytes that did not have to be sent because they were there already, since the start. */
  savedBytes(): number;
};

/** A reservation that waits for KV. */
export type Receiving = {
  readonly requestId: string;
  readonly promptTokens: number;
  /** Leading tokens whose KV is in the slot. */
  readonly heldTokens: number;
};

export type KvReceive = {
  begin(receiving: Receiving): void;
  /** Blocks that can be fetched; those of unknown requests are ignored. */
  announce(requestId: string, dtype: string, blocks: readonly ObjectBlock[]): void;
  /** The engine's answer to a block: the slot is filled up to `computed`, or why not. */
  placed(requestId: string, computed: number, fault: Fault | null): void;
  /**
   * Resolves when the engine has all it needs to import; rejects with a Fault `transfer` and its
   * reason.
   */
  finish(requestId: string, ticket: Ticket): Promise<void>;
  end(requestId: string): void;
};
