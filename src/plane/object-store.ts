// Objects in buckets as a port: what KV blocks and large messages travel through between hosts. Bodies:
// plane/nats-object.ts (JetStream, in the layout of NATS's own object store, so that stock clients read
// it) and plane/memory-object.ts (one process, for tests and the simulation). One contract suite.

/** One object, as its meta message tells. Whoever has this can read it without asking again. */
export type ObjectInfo = {
  readonly name: string;
  /** Names the chunks' subject: new at each writing. */
  readonly nuid: string;
  readonly bytes: number;
  readonly chunkCount: number;
  /** SHA-256, base64url with padding, as NATS writes it behind `SHA-256=`. */
  readonly digest: string;
};

/** `present`: somebody had put one of that name, and this call has left nothing behind. */
export type PutOutcome =
  | { readonly outcome: 'stored' | 'present'; readonly info: ObjectInfo }
  /** The bucket has no room (its bytes, or the server's memory); nothing of it stays. */
  | { readonly outcome: 'full' };

/** Why a get or put failed, for counters; the Fault's message says it to people. */
export type ObjectFlaw =
  | 'missing' // no such object, or it has expired
  | 'truncated' // fewer chunks or bytes than its info says
  | 'corrupt' // its bytes do not have its digest
  | 'timeout'
  | 'unreachable' // no connection, no JetStream, or no right to use it
  | 'cancelled';

export type ObjectCall = { readonly timeoutMs: number; readonly signal?: AbortSignal };

/** An object that will expire within `freshMs` counts as absent. */
export type FreshCall = ObjectCall & { readonly freshMs?: number };

/** Bytes, or what makes them: asked once, and only where nothing of that name is there. */
export type PutBytes = Uint8Array | (() => Uint8Array);

export type ObjectBucket = {
  readonly name: string;
  /**
   * Puts unless one of that name is there; one that is not fresh any more is replaced. The bytes must
   * stay as they are meanwhile; what their maker throws is thrown. Throws a Fault (`transfer`, with an ObjectFlaw as reason).
   */
  put(name: string, bytes: PutBytes, call: FreshCall): Promise<PutOutcome>;
  info(name: string, call: FreshCall): Promise<ObjectInfo | null>;
  /**
   * The bytes, digest checked, in a buffer of their own. Throws a Fault as `put`. Many may run at once;
   * one costs one round trip and the transfer.
   */
  get(info: ObjectInfo, call: ObjectCall): Promise<Uint8Array<ArrayBuffer>>;
  /** Its chunks and its meta message; harmless when it is gone. */
  remove(info: ObjectInfo, call: ObjectCall): Promise<void>;
  /** Bytes that the bucket holds now. */
  usedBytes(call: ObjectCall): Promise<number>;
};

export type BucketOptions = {
  /** Letters, digits, `-` and `_`. */
  readonly name: string;
  readonly description: string;
  readonly storage: 'memory' | 'file';
  readonly bytesMax: number;
  /** After so long an object is gone by itself. */
  readonly ttlMs: number;
  /** JetStream replicas, 1 to 5. */
  readonly replicaCount: number;
};

export type ObjectStore = {
  /**
   * Null while it could be used or nobody has tried yet, else why not, in one line fit for a user (no
   * connection, no JetStream). What a server refused is told for a while, then a call may try again.
   */
  trouble(): string | null;
  /** Made at the first use, by whoever comes first; an existing one is used as it is. Throws nothing. */
  bucket(options: BucketOptions): ObjectBucket;
  close(): Promise<void>;
};
