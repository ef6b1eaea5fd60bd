// What a request is once the gateway has read it: token ids and numbers, no text.

import * as v from 'valibot';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const tokenId = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(0x7fff_ffff));

/** Ids of requests and workers are ours, made of these characters alone: they become NATS subjects. */
export const idSchema = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{1,64}$/));

export const samplingSchema = v.object({
  /** 0 = greedy. */
  temperature: v.pipe(v.number(), v.minValue(0), v.maxValue(2)),
  /** (0, 1]. */
  topP: v.pipe(v.number(), v.gtValue(0), v.maxValue(1)),
  /** Any safe integer; the gateway draws one where the client gave none. */
  seed: v.pipe(v.number(), v.safeInteger()),
  /** Tokens to generate at most, the first one counted. */
  maxTokens: v.pipe(count, v.minValue(1)),
  /** Until so many are out, no end-of-sequence token can be chosen. */
  minTokens: count,
  /** Null: as the worker was told by `--ignore-eos`. */
  ignoreEos: v.nullable(v.boolean()),
});
export type Sampling = v.InferOutput<typeof samplingSchema>;

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
  /** The only way it may take; absent: the router decides. */
  readonly route?: Route;
};

/** Why a generation ended: a stop token (or, at the gateway, a stop string), or a length limit. */
export type FinishReason = 'stop' | 'length';

export const routes = ['disaggregated', 'local', 'aggregated'] as const;
export type Route = (typeof routes)[number];
export type KvPath = 'shm' | 'object' | 'none';

/** What the plane's client learned about a request, for headers, timing and logs. Times in ms. */
export type Timing = {
  readonly route: Route;
  readonly contextWorker: string | null;
  readonly generateWorker: string | null;
  readonly kvPath: KvPath;
  readonly kvBytes: number;
  readonly cachedTokens: number;
  readonly queueMs: number;
  readonly prefillMs: number;
  readonly transferMs: number;
};

/** One arrival of generated tokens, in order, without gaps or repeats. */
export type TokenDelta = {
  readonly ids: readonly number[];
  /** Set on the last delta; its `ids` may be empty. A stop token is never among the ids. */
  readonly finish: FinishReason | null;
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

/** A model that could be asked for now. Everything comes from live workers' cards. */
export type ServedModel = {
  readonly name: string;
  /** Prompt + completion limit in tokens. */
  readonly maxModelLen: number;
  /** Digest of tokenizer and chat template together. */
  readonly textDigest: string;
  /** Seconds since 1970 at which this gateway first saw it. */
  readonly createdS: number;
};

/** The gateway's whole view of the cluster; the plane's client implements it, tests fake it. */
export type Cluster = {
  /** Sends the request to workers and resolves once the first token is there; throws a Fault else. */
  generate(request: GenerateRequest, options: { signal: AbortSignal }): Promise<Generation>;
  models(): readonly ServedModel[];
  /** Calls back when `models` or `unready` may have changed. */
  onChange(handler: () => void): void;
  /** Null when a request could be served now, else the reason in one line. */
  unready(): string | null;
  /** The text files of a model: fetched from a worker that announces it, kept by digest. */
  textAssets(model: ServedModel): Promise<TextAssets>;
};

/** A model's tokenizer.json, tokenizer_config.json (with the chat template in it) as parsed JSON. */
export type TextAssets = {
  readonly tokenizer: unknown;
  readonly tokenizerConfig: unknown;
};
