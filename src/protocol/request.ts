// What a request is once the gateway has read it: token ids and numbers, no text.

import * as v from 'valibot';
import { grammarSchema } from './grammar.ts';
import { limit } from './limit.ts';
import type { Member } from './member.ts';
import type { ControlAction } from './message.ts';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const tokenId = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(0x7fff_ffff));

/** Ids of requests and workers are ours, made of these characters alone: they become NATS subjects. */
export const idSchema = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{1,64}$/));

/** OpenAI's presence and frequency penalty. */
const penalty = v.pipe(v.number(), v.minValue(-2), v.maxValue(2));
const bias = v.pipe(v.number(), v.minValue(-100), v.maxValue(100));

export const samplingSchema = v.object({
  /** 0 = greedy. */
  temperature: v.pipe(v.number(), v.minValue(0), v.maxValue(2)),
  /** Only so many likeliest tokens; 0 = all. */
  topK: v.pipe(count, v.maxValue(0x7fff_ffff)),
  /** (0, 1]: of those the fewest whose probability reaches it. */
  topP: v.pipe(v.number(), v.gtValue(0), v.maxValue(1)),
  /** [0, 1]: of those the ones with this share of the likeliest token's probability; 0 = all. */
  minP: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
  /** Off the logit of a generated token: once, and once for each time it was generated. */
  presencePenalty: penalty,
  frequencyPenalty: penalty,
  /** Divides a positive and multiplies a negative logit of a token of prompt or answer; 1 = off. */
  repetitionPenalty: v.pipe(v.number(), v.finite(), v.gtValue(0)),
  /** Added to the logits: [token id, bias], each id once. */
  logitBias: v.pipe(v.array(v.tuple([tokenId, bias])), v.maxLength(limit.logitBiasCountMax)),
  /** Any safe integer; the gateway draws one where the client gave none. */
  seed: v.pipe(v.number(), v.safeInteger()),
  /** Tokens to generate at most, the first one counted. */
  maxTokens: v.pipe(count, v.minValue(1)),
  /** Until so many are out, no end-of-sequence token and none of `stopTokenIds` can be chosen. */
  minTokens: count,
  /** End the generation, whatever `ignoreEos` says. */
  stopTokenIds: v.pipe(v.array(tokenId), v.maxLength(limit.stopTokenCountMax)),
  /** Null: as the worker was told by `--ignore-eos`. */
  ignoreEos: v.nullable(v.boolean()),
  /** Sequences of tokens none of which may come to be complete. */
  badWords: v.pipe(
    v.array(v.pipe(v.array(tokenId), v.minLength(1), v.maxLength(limit.badWordTokensMax))),
    v.maxLength(2 * limit.badWordCountMax),
  ),
  /** Only these can be chosen; null: any. */
  allowedTokenIds: v.nullable(
    v.pipe(v.array(tokenId), v.minLength(1), v.maxLength(limit.allowedTokenCountMax)),
  ),
  /** Log-probabilities of each token and of so many likeliest ones beside it; null: none. */
  logprobs: v.nullable(v.pipe(count, v.maxValue(limit.topLogprobsMax))),
  /** Likewise for the prompt's tokens from the second on; null: none. Such a prompt is not handed over. */
  promptLogprobs: v.nullable(v.pipe(count, v.maxValue(limit.topLogprobsMax))),
  /** What the answer must be; null: anything. */
  grammar: v.optional(v.nullable(grammarSchema), null),
});
export type Sampling = v.InferOutput<typeof samplingSchema>;

/** As if the request said nothing. */
export const neutralSampling = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  logitBias: [],
  minTokens: 0,
  stopTokenIds: [],
  ignoreEos: null,
  badWords: [],
  allowedTokenIds: null,
  logprobs: null,
  promptLogprobs: null,
  grammar: null,
} satisfies Omit<Sampling, 'seed' | 'maxTokens'>;

/** Stands for −∞, which JSON cannot say; vLLM's value. */
export const logprobMin = -9999;

/**
 * What the model itself gave a chosen token: natural logarithms of its softmax, before temperature,
 * penalties and bias. Finite: a token that cannot be has `logprobMin`.
 */
export const tokenLogprobsSchema = v.object({
  logprob: v.pipe(v.number(), v.finite()),
  /** The likeliest tokens, likeliest first, as [token id, logprob]. */
  top: v.pipe(
    v.array(v.tuple([tokenId, v.pipe(v.number(), v.finite())])),
    v.maxLength(limit.topLogprobsMax),
  ),
});
export type TokenLogprobs = v.InferOutput<typeof tokenLogprobsSchema>;

/** Lower is served sooner. Bounded: it shifts a request's turn by so many steps of time. */
export const prioritySchema = v.pipe(
  v.number(),
  v.safeInteger(),
  v.minValue(-1000),
  v.maxValue(1000),
);

/** A digest of what the client sent as `cache_salt`. */
export const saltSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));

/** Log-probabilities of consecutive prompt tokens, the first of which is at `from`. */
export const scoresSchema = v.object({
  from: v.pipe(count, v.minValue(1)),
  list: v.pipe(v.array(tokenLogprobsSchema), v.maxLength(limit.scoreTokens)),
});
export type Scores = v.InferOutput<typeof scoresSchema>;

export const promptSchema = v.pipe(v.array(tokenId), v.minLength(1));
export const tokenIdsSchema = v.array(tokenId);
export const countSchema = count;

/** One generation as the gateway hands it to the plane's client. */
export type GenerateRequest = {
  /** Made by the gateway, `[A-Za-z0-9_-]`, unique. */
  readonly requestId: string;
  /** The served name (`--worker-name`). */
  readonly model: string;
  readonly promptIds: readonly number[];
  readonly sampling: Sampling;
  /** Lower is served sooner; 0 unless the client says. */
  readonly priority: number;
  /** The only way it may take; absent: the router decides. */
  readonly route?: Route;
  /** More requests with this prompt will follow: its KV is worth keeping as soon as it is there. */
  readonly shared?: boolean;
  /** Workers that were just given this prompt's KV, though no heartbeat tells of it yet. */
  readonly warm?: readonly string[];
  /** `saltSchema`: KV is shared only among requests of one salt. */
  readonly cacheSalt?: string;
};

/** Why a generation ended: a stop token (or, at the gateway, a stop string), or a length limit. */
export type FinishReason = 'stop' | 'length';

export const routes = ['disaggregated', 'local', 'aggregated'] as const;
export type Route = (typeof routes)[number];
/** Why it went this way; each word is explained in plane/placement.ts. */
export type RouteReason =
  | 'measured'
  | 'cached'
  | 'threshold'
  | 'forced'
  | 'no_context_worker'
  | 'context_refused'
  | 'aggregated_only';
export type KvPath = 'shm' | 'object' | 'none';
/** Why KV was to travel that way; plane/kv-path.ts. */
export type KvPathReason = 'same_host' | 'other_host' | 'flag';

/** What the plane's client learned about a request, for headers, timing and logs. Times in ms. */
export type Timing = {
  readonly route: Route;
  readonly reason: RouteReason;
  readonly contextWorker: string | null;
  readonly generateWorker: string | null;
  readonly kvPath: KvPath;
  /** Null where no KV was to travel. */
  readonly kvPathReason: KvPathReason | null;
  readonly kvBytes: number;
  readonly cachedTokens: number;
  readonly queueMs: number;
  readonly prefillMs: number;
  readonly transferMs: number;
  /** How often another worker had to go on with it; absent: never. */
  readonly migrations?: number;
};

/** One arrival of generated tokens, in order, without gaps or repeats. */
export type TokenDelta = {
  readonly ids: readonly number[];
  /** One for each id, where the request asked for them. */
  readonly logprobs?: readonly TokenLogprobs[];
  /** Of prompt tokens, in order and complete before the first id. */
  readonly scores?: readonly TokenLogprobs[];
  /** Set on the last delta; its `ids` may be empty. A stop token is never among the ids. */
  readonly finish: FinishReason | null;
  /** Which of the request's `stopTokenIds` ended it. */
  readonly stopToken?: number;
};

/**
 * A running generation as the gateway sees it. `deltas` yields at least one delta, the last of which
 * has `finish`; it throws a Fault when the generation cannot be completed. Leaving the loop early, or
 * aborting the signal given to `generate`, cancels the work on every worker that holds some.
 */
export type Generation = {
  readonly deltas: AsyncIterable<TokenDelta>;
  /** What is known so far; complete after the last delta. */
  timing(): Timing;
};

/** How a model writes tool calls (text/tool/); vLLM's names for `--tool-call-parser`. */
export const toolParserNames = ['hermes', 'llama3_json', 'mistral'] as const;
export type ToolParserName = (typeof toolParserNames)[number];
/** How it marks what it thinks before it answers (text/reasoning.ts). */
export const reasoningParserNames = ['think'] as const;
export type ReasoningParserName = (typeof reasoningParserNames)[number];

/** A model that could be asked for now. Everything comes from live workers' cards. */
export type ServedModel = {
  readonly name: string;
  /** Prompt + completion limit in tokens. */
  readonly maxModelLen: number;
  /** Token ids are below this. */
  readonly vocabSize: number;
  /** Digest of tokenizer and chat template together. */
  readonly textDigest: string;
  /** Absent or null: its text is shown as it is. */
  readonly toolParser?: ToolParserName | null;
  readonly reasoningParser?: ReasoningParserName | null;
  /** Seconds since 1970 at which this gateway first saw it. */
  readonly createdS: number;
};

export type GenerateOptions = {
  readonly signal: AbortSignal;
  /**
   * Told true when all workers that it needs have taken it on: it waits for room no longer. False when
   * they lost it before its first token and it waits again.
   */
  readonly onPlaced?: (isPlaced: boolean) => void;
};

/** The gateway's whole view of the cluster; the plane's client implements it, tests fake it. */
export type Cluster = {
  /** Sends the request to workers and resolves once the first token is there; throws a Fault else. */
  generate(request: GenerateRequest, options: GenerateOptions): Promise<Generation>;
  models(): readonly ServedModel[];
  /** Calls back when `models` or `unready` may have changed. */
  onChange(handler: () => void): void;
  /** Null when a request could be served now, else the reason in one line. */
  unready(): string | null;
  /**
   * Why a route that a request insists on cannot be taken however long it waits; null: it can, now or
   * soon, or nobody announces the model.
   */
  missing(model: string, route: Route): string | null;
  /** Everyone alive, whatever role and state, in order of arrival. */
  members(): readonly Member[];
  /**
   * Tells a worker to drain or to take work again; resolves with what it then is. Throws a Fault:
   * `not_found` where nobody of that id is alive, else why it could not be told or would not.
   */
  control(worker: string, action: ControlAction): Promise<Member>;
  /** The text files of a model: fetched from a worker that announces it, kept by digest. */
  textAssets(model: ServedModel): Promise<TextAssets>;
};

/** A model's tokenizer.json, tokenizer_config.json (with the chat template in it) as parsed JSON. */
export type TextAssets = {
  readonly tokenizer: unknown;
  readonly tokenizerConfig: unknown;
};
