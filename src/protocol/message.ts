// Everything that crosses the request plane, as versioned shapes. These messages are the
// architecture: gateway → worker (generate, prefill, abort, pause, asset, control), context →
// generate (handover), worker → gateway (tokens), worker → everyone (heartbeat), gateway → everyone (who, gateway).
//
//   gateway ── generate ──▶ generate worker      reserve a slot; reply: admitted | refused
//   gateway ── prefill ───▶ context worker       reply: admitted | refused
//   context ── tokens ────▶ gateway              token 0
//   context ── announce ──▶ generate worker      blocks that have left, while others are computed; no reply
//   context ── handover ──▶ generate worker      ticket; reply: done | refused (blocks may go back)
//   generate ─ tokens ────▶ gateway              token 1, 2, … finish
//
// Where a worker is lost in mid-stream, the gateway sends `generate` and `prefill` to others with the
// tokens that are out (`emittedIds`): "token 0" is then the first one behind them.

import * as v from 'valibot';
import { limit } from './limit.ts';
import {
  countSchema,
  idSchema,
  prioritySchema,
  promptSchema,
  reasoningParserNames,
  saltSchema,
  samplingSchema,
  scoresSchema,
  tokenIdsSchema,
  tokenLogprobsSchema,
  toolParserNames,
} from './request.ts';
import { geometrySchema, objectBlockSchema, ticketSchema } from './ticket.ts';

export const protocolVersion = 1;
const version = v.literal(protocolVersion);
const ms = v.pipe(v.number(), v.minValue(0));
const text = v.pipe(v.string(), v.maxLength(4096));
/** One word, for counters. */
const reasonWord = v.pipe(v.string(), v.regex(/^[a-z_]{1,32}$/));

/** Subject on which the gateway listens for this request's tokens. */
const subject = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_.-]{1,256}$/));

export const generateSchema = v.object({
  v: version,
  type: v.literal('generate'),
  requestId: idSchema,
  promptIds: promptSchema,
  /** Tokens of the answer that are out already: it goes on behind them. */
  emittedIds: v.optional(tokenIdsSchema),
  sampling: samplingSchema,
  priority: prioritySchema,
  /** Others with this prompt follow: keep its KV as soon as it is there. */
  shared: v.optional(v.boolean()),
  cacheSalt: v.optional(saltSchema),
  stream: subject,
  /** `handover`: keep room and wait for a ticket. `local`: prefill here. */
  source: v.picklist(['handover', 'local']),
  /** Who will compute the KV of a `handover`, where it is to come through shared memory. */
  contextWorker: v.optional(idSchema),
});
export type GenerateMessage = v.InferOutput<typeof generateSchema>;

export const prefillSchema = v.object({
  v: version,
  type: v.literal('prefill'),
  requestId: idSchema,
  promptIds: promptSchema,
  /** Tokens of the answer that are out already: it goes on behind them. */
  emittedIds: v.optional(tokenIdsSchema),
  sampling: samplingSchema,
  priority: prioritySchema,
  /** Others with this prompt follow: keep its KV as soon as it is there. */
  shared: v.optional(v.boolean()),
  cacheSalt: v.optional(saltSchema),
  stream: subject,
  /** The generate worker that holds the reservation. */
  generateWorker: idSchema,
  /** How the KV gets there; absent: through shared memory. */
  kvPath: v.optional(v.picklist(['shm', 'object'])),
  /** Leading tokens whose KV the generate worker holds already: they need not travel. */
  heldTokens: v.optional(countSchema),
});
export type PrefillMessage = v.InferOutput<typeof prefillSchema>;

export const handoverSchema = v.object({
  v: version,
  type: v.literal('handover'),
  requestId: idSchema,
  /** Sampled by the context worker, already on its way to the gateway. */
  firstToken: countSchema,
  /** Null when the export failed: the generate worker prefills by itself. */
  ticket: v.nullable(ticketSchema),
  /** Why there is no ticket, where an upload failed. */
  flaw: v.optional(v.object({ code: v.string(), message: text, reason: v.optional(reasonWord) })),
});
export type HandoverMessage = v.InferOutput<typeof handoverSchema>;

/** Blocks of a prompt that can be fetched already. Losing it costs time only: the ticket has them all. */
export const announceSchema = v.object({
  v: version,
  type: v.literal('announce'),
  requestId: idSchema,
  /** How they are coded: it names the bucket. */
  dtype: v.string(),
  blocks: v.pipe(v.array(objectBlockSchema), v.readonly()),
});
export type AnnounceMessage = v.InferOutput<typeof announceSchema>;

export const abortSchema = v.object({ v: version, type: v.literal('abort'), requestId: idSchema });

/** The client reads too slowly: rest; or has caught up: go on. What a lower `turn` says came late. */
export const pauseSchema = v.object({
  v: version,
  type: v.literal('pause'),
  requestId: idSchema,
  isPaused: v.boolean(),
  turn: countSchema,
});
export type PauseMessage = v.InferOutput<typeof pauseSchema>;

export const assetSchema = v.object({
  v: version,
  type: v.literal('asset'),
  name: v.picklist(['tokenizer', 'tokenizerConfig']),
  offset: countSchema,
});
export type AssetMessage = v.InferOutput<typeof assetSchema>;

/** `drain`: take nothing new, finish what runs, stay. `resume`: take work again. */
export const controlActions = ['drain', 'resume'] as const;
export type ControlAction = (typeof controlActions)[number];

export const controlSchema = v.object({
  v: version,
  type: v.literal('control'),
  action: v.picklist(controlActions),
});

/** What a worker is asked, one subject each (`protocol/subject.ts`). */
export const workerOps = [
  'generate',
  'prefill',
  'announce',
  'handover',
  'abort',
  'pause',
  'asset',
  'control',
] as const;
export type WorkerOp = (typeof workerOps)[number];

/** Reply to generate, prefill, handover, abort, pause, control. */
export const ackSchema = v.variant('ok', [
  /** `waitedMs`: for a slot, where one had to be free first. */
  v.object({
    v: version,
    ok: v.literal(true),
    waitedMs: v.optional(ms),
    /** Of a reservation: leading tokens whose KV it holds already. */
    heldTokens: v.optional(countSchema),
    /** Of a reservation that named its context worker: whether that one's memory can be read here. */
    shm: v.optional(v.boolean()),
  }),
  v.object({
    v: version,
    ok: v.literal(false),
    code: v.string(),
    message: text,
    /** One word for counters, where the code has several causes. */
    reason: v.optional(reasonWord),
  }),
]);
export type Ack = v.InferOutput<typeof ackSchema>;

/** Reply to asset: a slice of the file's UTF-8 bytes. */
export const assetReplySchema = v.object({
  v: version,
  totalBytes: countSchema,
  /** base64 */
  slice: v.string(),
});
export type AssetReply = v.InferOutput<typeof assetReplySchema>;

export const tokensSchema = v.object({
  v: version,
  type: v.literal('tokens'),
  requestId: idSchema,
  worker: idSchema,
  /** Index of `ids[0]` in the completion. Numbers the chunks: a gap shows. */
  first: countSchema,
  ids: tokenIdsSchema,
  /** One for each id, where the request asked for them. */
  logprobs: v.optional(v.array(tokenLogprobsSchema)),
  /** Of the prompt's tokens, where asked for; all before the first token. */
  scores: v.optional(scoresSchema),
  finish: v.nullable(v.picklist(['stop', 'length'])),
  /** Which of the request's `stopTokenIds` ended it. */
  stopToken: v.optional(countSchema),
  /** Set instead of going on: the worker cannot finish this request. */
  fault: v.optional(v.object({ code: v.string(), message: text })),
  /** On a context worker's chunk and on the first chunk of a generate worker. */
  timing: v.optional(
    v.object({
      queueMs: v.optional(ms),
      prefillMs: v.optional(ms),
      transferMs: v.optional(ms),
      cachedTokens: v.optional(countSchema),
      kvPath: v.optional(v.picklist(['shm', 'object', 'none'])),
      kvBytes: v.optional(countSchema),
      /** KV that did not have to travel, because it was there already. */
      kvSavedBytes: v.optional(countSchema),
    }),
  ),
});
export type TokensMessage = v.InferOutput<typeof tokensSchema>;

export const kvPathChoices = ['auto', 'shm', 'object'] as const;
export type KvPathChoice = (typeof kvPathChoices)[number];

export const workerRoles = ['context', 'generate', 'baseline'] as const;
export type WorkerRole = (typeof workerRoles)[number];

export const cardSchema = v.object({
  /** Served name. */
  model: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
  /** What was loaded: `tdist/demo`, a folder's name or a repository id. */
  source: text,
  modelDigest: v.string(),
  textDigest: v.string(),
  geometry: geometrySchema,
  kvDtype: v.string(),
  maxModelLen: countSchema,
  vocabSize: countSchema,
  eosIds: tokenIdsSchema,
  /** How the model writes calls and thoughts; absent, or a newer worker's word: as plain text. */
  toolParser: v.optional(v.fallback(v.nullable(v.picklist(toolParserNames)), null)),
  reasoningParser: v.optional(v.fallback(v.nullable(v.picklist(reasoningParserNames)), null)),
});
export type Card = v.InferOutput<typeof cardSchema>;

/** First 16 hex digits of a block's chained hash (kv/prefix.ts): enough to find, not to trust. */
const prefixKeySchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/));

/** Sums since the worker's start and what its memory holds now: for metrics and lists alone. */
export const countersSchema = v.object({
  /** Copies of a sequence from one slot to another. */
  moves: countSchema,
  /** Running sequences that had to give their room back. */
  preemptions: countSchema,
  /** Prefills done once more inside the engine, by reason: `preempted`, … */
  recomputes: v.record(v.pipe(v.string(), v.regex(/^[a-z_]{1,32}$/)), countSchema),
  /** Blocks of the worker's arena; null where it has none. free + held + leased + cached = all. */
  kvBlocks: v.nullable(
    v.object({ free: countSchema, held: countSchema, leased: countSchema, cached: countSchema }),
  ),
});
export type Counters = v.InferOutput<typeof countersSchema>;

export const heartbeatSchema = v.object({
  v: version,
  type: v.literal('heartbeat'),
  /** Instance id: new at every start. */
  worker: idSchema,
  role: v.picklist(workerRoles),
  state: v.picklist(['starting', 'ready', 'draining', 'gone']),
  /** Equal for processes that can map each other's shared memory. */
  host: v.string(),
  /** `--kv-path`; absent: auto. */
  kvPath: v.optional(v.picklist(kvPathChoices)),
  /** Whether it can put and get objects now; absent: no. */
  objects: v.optional(v.boolean()),
  pid: countSchema,
  build: v.string(),
  card: cardSchema,
  load: v.object({
    running: countSchema,
    waiting: countSchema,
    slots: countSchema,
    /** Tokens of KV that could still be taken on. */
    freeTokens: countSchema,
    /** As in protocol/engine.ts. */
    pendingTokens: countSchema,
    decoding: countSchema,
    /** Absent: an older worker, which does not rest. */
    paused: v.optional(countSchema),
    prefixKeys: v.pipe(v.array(prefixKeySchema), v.maxLength(limit.prefixKeyMax), v.readonly()),
    counters: v.optional(countersSchema),
  }),
  /** Requests that it has taken on and not ended, hand-overs not yet answered included. */
  jobs: v.optional(countSchema),
  /** Milliseconds since its start; absent: an older worker. */
  upMs: v.optional(countSchema),
});
export type Heartbeat = v.InferOutput<typeof heartbeatSchema>;

/** A gateway's sign of life, as often as a worker's: who decodes for it notices when it is dead. */
export const gatewaySchema = v.object({
  v: version,
  type: v.literal('gateway'),
  /** Instance id: new at every start; part of the subjects of its streams. */
  gateway: idSchema,
  state: v.picklist(['alive', 'gone']),
});
export type GatewayMessage = v.InferOutput<typeof gatewaySchema>;
