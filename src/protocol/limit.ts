// Every limit in one place; their relations are asserted in test/protocol/limit.test.ts.

export const limit = {
  // --- HTTP
  bodyBytesMax: 10 * 1024 * 1024,
  /** For a whole request body to arrive. */
  bodyTimeoutMs: 30_000,
  /**
   * Bodies that are arriving: a longer one is slow. So many, and so many announced bytes, may be under way
   * before slow ones are given up.
   */
  slowBodyMs: 1000,
  slowBodyCountMax: 1024,
  slowBodyBytesMax: 128 * 1024 * 1024,
  /** A connection on which nothing moves for so long is closed; while we work on a request, none is. */
  idleConnectionS: 120,
  /** From a request's arrival to its last token; OpenAI's client libraries wait as long. */
  requestTimeoutMs: 600_000,
  /** A prompt of more characters is encoded in a thread of its own: this many take 0.3 to 3 ms here. */
  inlineChars: 8192,
  /** API keys of one gateway. */
  keyCountMax: 10_000,
  /** Wrong keys from one network: so many at once, and so many a minute; and networks remembered. */
  wrongKeysPerMinute: 10,
  wrongKeyNetworkMax: 4096,
  jsonDepthMax: 64,
  /** Names in one object of a body: whatever is done with each of them takes its time. */
  jsonNameCountMax: 65_536,
  messageCountMax: 4096,
  stopCountMax: 4,
  stopCharsMax: 256,
  errorCharsMax: 1000,
  /** Of a text that becomes tokens though no context bounds it: a million take half a second. */
  tokenizeCharsMax: 500_000,
  /**
   * A request that finds the gateway's queue full waits so long for a place in it: a burst that idle
   * workers are about to take on is no overload, and their answers need a step of the engine.
   */
  queueGraceMs: 250,
  /** Requests that may do so at once. */
  queueGraceCountMax: 1024,
  /**
   * A client that takes nothing of its stream for so long is given up, just before its connection would be.
   * Its worker rests meanwhile, and others have the slot where they need it.
   */
  readerSilenceMs: 115_000,
  /**
   * A client that asks for the next event only so long after the last is behind: up to so many events that
   * are ready leave in one write. A write to one that keeps up is asked for at once.
   */
  readerLateMs: 250,
  joinedEventCountMax: 64,
  // --- chat templates (text/template-cost.ts)
  /** Of a template's source; known ones have up to 30,000. */
  templateCharsMax: 262_144,
  /** … and of spaces and line ends in a row: reading them takes their square. */
  templateBlankMax: 1024,
  /** Steps of rendering (about 0.2 µs each): so many, and so many more for each character sent. */
  templateStepsBase: 2_000_000,
  templateStepsPerChar: 4,
  /** Expressions and macros within each other. */
  templateDepthMax: 1000,
  /** Lists within lists: deeper than whatever a client can send. */
  templateNestingMax: 256,
  /** One text, the rendered one too, UTF-16 code units: above what a body can hold. */
  templateTextMax: 32 * 1024 * 1024,
  /** Entries of one list. */
  templateListMax: 65_536,
  // --- models' config.json: well above any that exists, so that a file cannot ask for endless lists
  modelLayersMax: 1024,
  modelHeadsMax: 4096,
  modelHeadDimMax: 8192,
  /** Hidden and inner size. */
  modelWidthMax: 2 ** 22,
  modelVocabMax: 2 ** 24,
  modelPositionsMax: 2 ** 31,
  modelEosCountMax: 1024,
  // --- responses
  /** Responses that a gateway keeps for requests that go on from them, and their text in memory. */
  responseCountMax: 1024,
  responseBytesMax: 64 * 1024 * 1024,
  responseKeepMs: 3_600_000,
  metadataCountMax: 16,
  // --- sampling
  /** Answers to one prompt: `n`, and `best_of`. */
  choiceCountMax: 16,
  /** Answers of one request, over all its prompts. */
  choiceTotalMax: 128,
  promptCountMax: 32,
  badWordCountMax: 128,
  badWordCharsMax: 256,
  /** A character may be several tokens. */
  badWordTokensMax: 4 * 256 + 1,
  allowedTokenCountMax: 16_384,
  cacheSaltCharsMax: 128,
  /** Prompt tokens whose logprobs one request may ask for, over all its prompts. */
  scoredTokensMax: 32_768,
  logitBiasCountMax: 16_384,
  stopTokenCountMax: 1024,
  topLogprobsMax: 20,
  /** A tool call longer than this is streamed before it is whole; a malformed shorter one is text. */
  toolCallHeldCharsMax: 2048,
  /** Calls of an answer to `tool_choice` "required". */
  demandedCallCountMax: 16,
  // --- grammars (ARCHITECTURE.md, "Structured output")
  /** Text of a schema, regular expression or grammar, UTF-16 code units. */
  grammarCharsMax: 65_536,
  grammarDepthMax: 32,
  /** States of a compiled grammar: about 100 bytes each. */
  grammarStateMax: 65_536,
  grammarRuleMax: 10_000,
  /** Options of one `anyOf` or `oneOf`. */
  grammarOptionMax: 256,
  /** Texts of `choice` or `enum`. */
  grammarChoiceMax: 10_000,
  /** A repetition in a regular expression or grammar; nested ones multiplied: they may be ambiguous. */
  grammarRepeatMax: 10_000,
  grammarNestedRepeatMax: 1000,
  /** Steps of matching (0.1 to 0.2 µs each) that one token may cost at most … */
  grammarStepWork: 100_000,
  /** … and all tokens of a sequence together: so much, and so much more for each. */
  grammarCreditWork: 1_000_000,
  grammarTokenWork: 20_000,
  /** What matching a grammar has worked out may be kept up to this size, then it starts anew. */
  grammarBytesMax: 32 * 1024 * 1024,
  /** … of all grammars of a worker together. */
  grammarCacheBytesMax: 128 * 1024 * 1024,
  /**
   * Last resorts, in the threads that do this: a grammar takes at most so long to compile, a mask to work
   * out, and such a thread to start. The counts above end what is too dear long before.
   */
  grammarCompileMs: 5000,
  grammarMaskMs: 2000,
  grammarStartMs: 10_000,
  /** How often it is looked whether they are kept. */
  grammarWatchMs: 250,
  /** Grammars of which a gateway remembers whether they are right, and their text. */
  grammarVerdictCountMax: 1024,
  grammarVerdictCharsMax: 4 * 1024 * 1024,
  /** Grammars that wait at one gateway to be looked at. */
  grammarCheckCountMax: 256,
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
  /**
   * … after an outage of the gateway's own connection: its last chunk may have been lost with that. Shorter
   * for a stream that was quick before: so many times its longest silence, `presenceMs` at least.
   */
  outageSilenceMs: 10_000,
  outageSilenceFactor: 10,
  /**
   * So much of an answer may wait in the gateway for its client, then its worker rests until so much of it
   * is left: enough to go on with for the milliseconds in which the worker begins anew. Bytes are about
   * those that leave for it.
   */
  waitingDeltaMax: 256,
  waitingBytesMax: 256 * 1024,
  waitingResumePercent: 25,
  /** Bytes of a text asset in one reply; well below NATS's default max_payload of 1 MiB. */
  assetSliceBytes: 512 * 1024,
  /** A shorter one must be the last: else a file of a few bytes a reply would never end. */
  assetSliceBytesMin: 256,
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
  /**
   * Prompt tokens of a chunk whose logprobs are wanted: each needs a row of logits, so many rows are
   * kept. No more than slots usually are, so they cost no memory.
   */
  scoreTokens: 32,
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
  /** Largest --migration-limit. */
  migrationLimitMax: 100,
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
  /** Wait for JetStream's answer; a worker is ready no sooner, since gateways go by it. */
  objectAskMs: 2000,
  /** How often a worker without object store looks for one. */
  objectProbeMs: 10_000,
  objectProbeFirstMs: 100,
  /** A worker that ends takes so long at most to remove what it has put, so many objects at once. */
  objectClearMs: 2000,
  objectClearLaneMax: 16,
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
  // --- processes of our own: gateway and workers of a supervisor, nats-server
  restartPauseFirstMs: 200,
  restartPauseMaxMs: 10_000,
  /** What lived so long starts its pauses anew. */
  restartHealthyMs: 30_000,
  /** What ended so often within so long is given up, and with it the whole: some 25 s if at once each time. */
  restartCountMax: 8,
  restartWindowMs: 180_000,
  // --- downloads of models
  /** For an answer of the hub … */
  hubAnswerMs: 30_000,
  /** … where the cache has what would do as well. */
  hubFreshMs: 5000,
  /** A download on which nothing arrives for so long is taken up again. */
  hubSilenceMs: 30_000,
  /** Times in a row that no byte came, before a download is given up; the pauses between them double. */
  hubTryMax: 6,
  hubPauseMs: 500,
  hubPauseMaxMs: 30_000,
  /** Times at all that one file's download is taken up. */
  hubAttemptMax: 1000,
  /** Files under way at once. */
  hubLaneMax: 4,
  /** How often a file that another process downloads is looked for. */
  hubLockAskMs: 200,
  /** Questions to the API for one model; an answer of it; the files of a repository; a file of text, and one of weights. */
  hubAnswerCountMax: 200,
  hubReplyBytesMax: 32 * 1024 * 1024,
  hubFileCountMax: 10_000,
  hubTextBytesMax: 512 * 1024 * 1024,
  hubWeightBytesMax: 2 ** 41,
  /** How often a download without a terminal says where it is. */
  hubTellMs: 5000,
} as const;

/** The same as std/restarts.ts takes them. */
export const restartBounds = {
  pauseFirstMs: limit.restartPauseFirstMs,
  pauseMaxMs: limit.restartPauseMaxMs,
  healthyMs: limit.restartHealthyMs,
  countMax: limit.restartCountMax,
  windowMs: limit.restartWindowMs,
} as const;
