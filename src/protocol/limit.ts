// Every limit in one place; their relations are asserted in test/protocol/limit.test.ts.

export const limit = {
  // --- HTTP
  bodyBytesMax: 10 * 1024 * 1024,
  jsonDepthMax: 64,
  messageCountMax: 4096,
  stopCountMax: 4,
  stopCharsMax: 256,
  errorCharsMax: 1000,
  /**
   * A request that finds the gateway's queue full waits so long for a place in it: a burst that idle
   * workers are about to take on is no overload, and their answers need a step of the engine.
   */
  queueGraceMs: 250,
  /** Requests that may do so at once. */
  queueGraceCountMax: 1024,
  /** A client that takes nothing of its stream for so long is given up. */
  readerSilenceMs: 60_000,
  // --- sampling
  logitBiasCountMax: 16_384,
  stopTokenCountMax: 1024,
  topLogprobsMax: 20,
  // --- request plane
  heartbeatMs: 1000,
  /** A worker unheard of for so long is gone. Must allow for two lost heartbeats. */
  presenceMs: 3500,
  /**
   * A gateway unheard of for so long is dead, and its work is thrown away. Three times a worker's: a
   * mistake costs answers under way, waiting only the steps in between, and an overloaded gateway may
   * stand still for seconds.
   */
  gatewaySilenceMs: 10_500,
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
  /** … after an outage of the gateway's own connection: its last chunk may have been lost with that. */
  outageSilenceMs: 10_000,
  /** Bytes of a text asset in one reply; well below NATS's default max_payload of 1 MiB. */
  assetSliceBytes: 512 * 1024,
  /** Left free in a message for headers; larger ones travel through the object store. */
  messageHeadroomBytes: 512,
  /** Largest message at all: what a body of the largest size can become, as token ids in JSON. */
  messageBytesMax: 64 * 1024 * 1024,
  /** All large messages under way in one namespace. */
  messageBucketBytes: 256 * 1024 * 1024,
  /** Putting or fetching one, and how long one that nobody fetches is kept. */
  claimMs: 10_000,
  claimKeepMs: 60_000,
  /** Messages of a subject that wait behind a large one. */
  claimQueueMax: 4096,
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
  /**
   * Sequences in one decode batch at most, unless the user says otherwise. Measured on one thread, 64
   * instead of 32 give 0 to 16 % more tokens a second, and each stream gets its own half as fast.
   */
  seqsDefault: 32,
  /** Prompts whose prefill can be under way at once on a context worker, likewise. */
  contextSeqsDefault: 8,
  /** Tokens of a usual sequence, prompt and answer: as many of them as fit get a slot each. */
  usualTokens: 1024,
  /** Address space of the KV of all slots, touched or not: an eighth of what a process has. */
  kvAddressBytesMax: 2 ** 44,
  /** Cached blocks that a heartbeat names: 512 blocks of 64 tokens are 32 k tokens, 10 KiB of text. */
  prefixKeyMax: 512,
  // --- routing (ARCHITECTURE.md, "Which workers")
  /** Prefix keys that one gateway remembers of all workers together: about 100 MB when full. */
  prefixKeyTotalMax: 1_000_000,
  /** A heartbeat tells of requests sent so long before it; later ones are counted on top. */
  loadLagMs: 250,
  /** Measurements of a worker older than this give way to those of its kind: it gets a new trial. */
  rateKeepMs: 60_000,
  /** Before anything was measured: prefill, and what it costs to move KV and to involve two workers. */
  prefillTokensPerSDefault: 1000,
  transferMsPerMiBDefault: 1,
  transferMsDefault: 1,
  /** Between hosts, what a reader still waits for after the prefill: most of it overlaps. */
  objectMsPerMiBDefault: 5,
  objectMsDefault: 10,
  hopMsDefault: 2,
  /**
   * A stall of one decoding stream, in percent of the same time as somebody's time to first token.
   * 100: four streams held up for 50 ms weigh as much as a first token 200 ms later.
   */
  stallPercent: 100,
  /** A prompt that computes for longer is likely to meet a stream that begins meanwhile: one counts. */
  stallGraceMs: 100,
  /** What one more stream on a generate worker weighs: each stream there gets slower steps. */
  streamMs: 20,
  /** What it weighs to wait until a stream ends and its slot is free. */
  slotWaitMs: 1000,
  /** Reading a cached token out of another worker's arena, in percent of computing it. */
  foreignPrefixPercent: 5,
  /** Costs that differ by no more than this are equal: the workers take turns. */
  tieMs: 1,
  /** How often a worker looks whether its cached blocks have changed. */
  prefixTellMs: 250,
  // --- KV hand-over
  /**
   * How long KV may take between hosts after the prefill: blocks wait so long to be uploaded, and a
   * reader for the last of them. Shorter than `streamSilenceMs`: the reader must still prefill in time.
   */
  objectTransferMs: 20_000,
  /** One block's upload or download. */
  objectCallMs: 15_000,
  /** Uploads (and downloads) of blocks under way at once in one worker. */
  objectLaneMax: 4,
  /** Blocks of one prompt fetched ahead of the one that goes into the slot next. */
  objectAheadMax: 4,
  /** A block that will expire sooner counts as absent: it is put anew. */
  objectFreshMs: 60_000,
  /** Objects that a worker remembers to have put. */
  objectKnownMax: 65_536,
  /** How often a worker without object store looks for one. */
  objectProbeMs: 10_000,
  /** How often room in a full bucket is looked for. */
  objectRoomMs: 250,
  /**
   * … and for how long, from when it was first found full: whoever waits keeps a slot of a generate worker
   * occupied, and computing the prompt there takes less than this.
   */
  objectRoomWaitMs: 2000,
  /** How long an exported block waits for its reader. */
  leaseMs: 10_000,
  /** How often expired leases are looked for. */
  sweepMs: 1000,
  /** A generate worker's reservation waits so long for its KV before it is given up. */
  reserveMs: 120_000,
  /** Largest --queue-timeout-ms: a request may not outlive the reservation it waits on. */
  queueTimeoutMsMax: 110_000,
  arenaBytesDefault: 64 * 1024 * 1024,
} as const;
