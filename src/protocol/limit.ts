// Every limit in one place; their relations are asserted in test/protocol/limit.test.ts.

export const limit = {
  // --- HTTP
  bodyBytesMax: 10 * 1024 * 1024,
  jsonDepthMax: 64,
  messageCountMax: 4096,
  stopCountMax: 4,
  stopCharsMax: 256,
  errorCharsMax: 1000,
  // --- request plane
  heartbeatMs: 1000,
  /** A worker unheard of for so long is gone. Must allow for two lost heartbeats. */
  presenceMs: 3500,
  /** Wait for an answer that takes no work: an asset slice, an abort. */
  replyTimeoutMs: 5000,
  /**
   * Wait for a worker's accept or refusal, which comes when it has room. Only a last resort: the
   * gateway's queue time-out is shorter, and a worker that dies is noticed by its presence.
   */
  admitTimeoutMs: 240_000,
  /** Wait for the missing piece when token chunks arrive out of order. */
  gapTimeoutMs: 2000,
  /** Longest silence within a stream before the gateway gives the worker up. */
  streamSilenceMs: 60_000,
  /** Bytes of a text asset in one reply; well below NATS's default max_payload of 1 MiB. */
  assetSliceBytes: 512 * 1024,
  // --- engine
  /** Tokens of one step: a row for each stream that decodes, prompt chunks for the rest. */
  stepTokens: 256,
  /** Prompt tokens of a step at least, however many streams decode. */
  chunkTokensMin: 32,
  /** Prompts that may have a chunk in one step. */
  stepChunkMax: 16,
  /** Growth that admission reserves for each running sequence, tokens. */
  growthTokens: 64,
  /** A step of `priority` counts as so much earlier or later arrival. */
  priorityStepMs: 10_000,
  /** Sequences in one decode batch unless the user says otherwise. */
  seqsDefault: 32,
  /** Cached blocks that a heartbeat names: 512 blocks of 64 tokens are 32 k tokens, 10 KiB of text. */
  prefixKeyMax: 512,
  /** How often a worker looks whether its cached blocks have changed. */
  prefixTellMs: 250,
  // --- KV hand-over
  /** How long an exported block waits for its reader. */
  leaseMs: 10_000,
  /** How often expired leases are looked for. */
  sweepMs: 1000,
  /** A generate worker's reservation waits so long for its KV before it is given up. */
  reserveMs: 120_000,
  arenaBytesDefault: 64 * 1024 * 1024,
} as const;
