// What a worker's message room and its engine say to each other. The engine runs in a thread of its
// own (role/engine-thread.ts), so everything here is plain data that structured clone can carry.

import type { Ack, Counters } from './message.ts';
import type { FinishReason, Sampling, Scores, TokenLogprobs } from './request.ts';
import type { BlockRef, ShmTicket, Ticket } from './ticket.ts';

export type EngineCommand =
  /** Take a sequence for decoding; `handover` waits for `import`, `local` prefills here. */
  | {
      readonly type: 'generate';
      readonly requestId: string;
      readonly promptIds: readonly number[];
      /** Tokens of the answer that are out already: it goes on behind them. */
      readonly emittedIds?: readonly number[] | undefined;
      readonly sampling: Sampling;
      readonly priority: number;
      /** Others with this prompt follow: its KV is kept as soon as it is there. */
      readonly shared?: boolean | undefined;
      /** KV is shared only among requests of one salt. */
      readonly cacheSalt?: string | undefined;
      readonly source: 'handover' | 'local';
    }
  /** Prefill, sample the first token, export the KV. */
  | {
      readonly type: 'prefill';
      readonly requestId: string;
      readonly promptIds: readonly number[];
      /** Tokens of the answer that are out already: it goes on behind them. */
      readonly emittedIds?: readonly number[] | undefined;
      readonly sampling: Sampling;
      readonly priority: number;
      /** Others with this prompt follow: its KV is kept as soon as it is there. */
      readonly shared?: boolean | undefined;
      /** KV is shared only among requests of one salt. */
      readonly cacheSalt?: string | undefined;
      /** How the KV will leave; `object`: blocks are told of as they are staged. */
      readonly kvPath: 'shm' | 'object';
    }
  /**
   * The next block of a `handover` sequence's prompt, header and payload (kv/block.ts): into its slot.
   * The bytes go over to the engine's thread.
   */
  | { readonly type: 'block'; readonly requestId: string; readonly frame: Uint8Array<ArrayBuffer> }
  /**
   * The KV of a `handover` sequence is there (`object`) or can be copied in (`shm`); what is missing is
   * prefilled here, all of it where the ticket is null.
   */
  | {
      readonly type: 'import';
      readonly requestId: string;
      readonly firstToken: number;
      readonly ticket: Ticket | null;
      /** Why the KV that was to come over the network has not. */
      readonly refusal?: Refusal;
      /** Time since the prefill's end that the transfer took, this worker's part. */
      readonly waitedMs?: number;
    }
  /** The reader is done with the exported blocks of this request: lease over. */
  | { readonly type: 'release'; readonly requestId: string }
  /** Stop and forget, whatever the state. Unknown ids are fine. */
  | { readonly type: 'abort'; readonly requestId: string }
  /** Rest, or go on: its client reads too slowly, or has caught up. Unknown ids are fine. */
  | { readonly type: 'pause'; readonly requestId: string; readonly isPaused: boolean };

export type Refusal = Extract<Ack, { ok: false }>;

export type EngineEvent =
  /** It has a slot, after so long. */
  | {
      readonly type: 'admitted';
      readonly requestId: string;
      readonly waitedMs?: number;
      /** Leading tokens whose KV is in the slot already. */
      readonly heldTokens?: number;
    }
  | {
      readonly type: 'refused';
      readonly requestId: string;
      readonly code: string;
      readonly message: string;
    }
  | {
      readonly type: 'tokens';
      readonly requestId: string;
      readonly first: number;
      readonly ids: readonly number[];
      /** One for each id, where the request asked for them. */
      readonly logprobs?: readonly TokenLogprobs[];
      readonly scores?: Scores;
      readonly finish: FinishReason | null;
      /** Which of the request's `stopTokenIds` ended it. */
      readonly stopToken?: number;
      readonly fault?: { readonly code: string; readonly message: string };
      readonly timing?: StepTiming;
    }
  /** Blocks of a `prefill` for the `object` path lie in the arena, in order; the prefill may go on. */
  | { readonly type: 'staged'; readonly requestId: string; readonly blocks: readonly BlockRef[] }
  /**
   * A `prefill` is done and its KV lies in the arena. Ticket null: the export failed with that fault, or,
   * without one, there was no room.
   */
  | {
      readonly type: 'prefilled';
      readonly requestId: string;
      readonly firstToken: number;
      readonly ticket: ShmTicket | null;
      readonly fault?: { readonly code: string; readonly message: string };
    }
  /** A `block` command's outcome: the prompt's KV is in the slot up to `computed`. */
  | {
      readonly type: 'placed';
      readonly requestId: string;
      readonly computed: number;
      readonly refusal: Refusal | null;
    }
  /** The engine no longer needs the exported blocks; refusal set where they could not be used. */
  | {
      readonly type: 'imported';
      readonly requestId: string;
      readonly path: 'shm' | 'object';
      readonly refusal: Refusal | null;
    }
  | { readonly type: 'load'; readonly load: Load };

export type StepTiming = {
  readonly queueMs?: number;
  readonly prefillMs?: number;
  readonly transferMs?: number;
  readonly cachedTokens?: number;
  readonly kvPath?: 'shm' | 'object' | 'none';
  readonly kvBytes?: number;
  readonly kvSavedBytes?: number;
};

export type Load = {
  /** Sequences with a slot. */
  readonly running: number;
  /** Sequences without one yet. */
  readonly waiting: number;
  readonly slots: number;
  /** Tokens of KV that could still be taken on. */
  readonly freeTokens: number;
  /** Prompt tokens still to be computed, running and waiting together. */
  readonly pendingTokens: number;
  /** Streams that get a token at every step: what a prompt computed here would stall. */
  readonly decoding: number;
  /** Sequences that rest because their clients read too slowly. */
  readonly paused?: number | undefined;
  /** Keys of cached blocks that others may use, latest use first, at most `limit.prefixKeyMax`. */
  readonly prefixKeys: readonly string[];
  readonly counters?: Counters | undefined;
};

/** The engine as the rest of a worker process sees it. */
export type EnginePort = {
  submit(command: EngineCommand): void;
  /** One listener; events of one request arrive in order. */
  listen(handler: (event: EngineEvent) => void): void;
  load(): Load;
};
