// The request fields that say how tokens are chosen: their bounds, and what they mean as numbers.
// Defaults are OpenAI's; a model's generation_config.json has no say. Token ids are checked against
// the vocabulary once the model is known.

import * as v from 'valibot';
import type { GrammarSpec } from '../protocol/grammar.ts';
import { limit } from '../protocol/limit.ts';
import { neutralSampling, type Sampling } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import type { Chance } from '../std/prng.ts';
import { grammarEntries } from './grammar-fields.ts';

const integer = v.pipe(v.number(), v.safeInteger('Invalid value: Expected an integer'));
const flag = v.nullish(v.boolean());
const penalty = v.nullish(v.pipe(v.number(), v.minValue(-2), v.maxValue(2)));

const seedMin = -(2n ** 63n);
const seedMax = 2n ** 63n - 1n;
const seed = v.pipe(
  v.union([v.bigint(), v.pipe(v.number(), v.integer())], 'Invalid value: Expected an integer'),
  v.transform((value) => BigInt(value)),
  v.minValue(seedMin, 'A seed is an integer of 64 bits'),
  v.maxValue(seedMax, 'A seed is an integer of 64 bits'),
);
const { allowedTokenCountMax, logitBiasCountMax, stopTokenCountMax } = limit;

const biases = v.pipe(
  v.record(v.string(), v.pipe(v.number(), v.finite())),
  v.check((map) => Object.keys(map).every((key) => /^-?\d{1,15}$/.test(key)), 'Keys are token ids'),
);
const noList = v.never('Invalid type: Expected an object of token id: bias');
const tooManyBiases = v.never(`At most ${logitBiasCountMax} tokens can be biased`);
const logitBias = v.lazy((value) => {
  if (Array.isArray(value)) return noList;
  // Counted before anything is done with each of them.
  return Object.keys(Object(value)).length > logitBiasCountMax ? tooManyBiases : biases;
});

export const samplingEntries = {
  n: v.nullish(
    v.pipe(
      integer,
      v.minValue(1),
      v.maxValue(limit.choiceCountMax, `At most ${limit.choiceCountMax} choices are generated`),
    ),
  ),
  ...grammarEntries,
  temperature: v.nullish(v.pipe(v.number(), v.minValue(0), v.maxValue(2))),
  top_p: v.nullish(v.pipe(v.number(), v.gtValue(0), v.maxValue(1))),
  top_k: v.nullish(v.pipe(integer, v.minValue(-1))),
  min_p: v.nullish(v.pipe(v.number(), v.minValue(0), v.maxValue(1))),
  presence_penalty: penalty,
  frequency_penalty: penalty,
  repetition_penalty: v.nullish(v.pipe(v.number(), v.finite(), v.gtValue(0))),
  logit_bias: v.nullish(logitBias),
  seed: v.nullish(seed),
  min_tokens: v.nullish(v.pipe(integer, v.minValue(0))),
  stop_token_ids: v.nullish(
    v.pipe(
      v.array(integer),
      v.maxLength(stopTokenCountMax, `At most ${stopTokenCountMax} stop tokens are accepted`),
    ),
  ),
  ignore_eos: flag,
  include_stop_str_in_output: flag,
  skip_special_tokens: flag,
  allowed_token_ids: v.nullish(
    v.pipe(
      v.array(integer),
      v.minLength(1, 'The list must not be empty: no token could be chosen'),
      v.maxLength(allowedTokenCountMax, `At most ${allowedTokenCountMax} tokens can be named`),
    ),
  ),
};

const samplingSchema = v.object(samplingEntries);
export type SamplingFields = v.InferOutput<typeof samplingSchema>;

/** All that does not depend on prompt, model and tokenizer. */
export type Wish = Omit<Sampling, 'maxTokens' | 'seed' | 'badWords'> & {
  /** Of the first choice; the next ones count on from it. */
  readonly seed: bigint;
};

/** Below this, logits divided by the temperature overflow; it means greedy. */
const temperatureMin = 1e-5;

/** @param grammar what the answer must be. */
export function readSampling(
  fields: SamplingFields,
  grammar: GrammarSpec | null,
  chance: Chance,
): Omit<Wish, 'logprobs' | 'promptLogprobs'> {
  return {
    temperature: isGreedy(fields) ? 0 : (fields.temperature ?? neutralSampling.temperature),
    topK: Math.max(0, Math.min(0x7fff_ffff, fields.top_k ?? neutralSampling.topK)),
    topP: fields.top_p ?? neutralSampling.topP,
    minP: fields.min_p ?? neutralSampling.minP,
    presencePenalty: fields.presence_penalty ?? neutralSampling.presencePenalty,
    frequencyPenalty: fields.frequency_penalty ?? neutralSampling.frequencyPenalty,
    repetitionPenalty: fields.repetition_penalty ?? neutralSampling.repetitionPenalty,
    logitBias: biasOf(fields.logit_bias ?? {}),
    seed: fields.seed ?? BigInt(chance.u32()),
    minTokens: fields.min_tokens ?? neutralSampling.minTokens,
    stopTokenIds: [...new Set(fields.stop_token_ids ?? [])],
    ignoreEos: fields.ignore_eos ?? neutralSampling.ignoreEos,
    allowedTokenIds:
      fields.allowed_token_ids == null ? null : [...new Set(fields.allowed_token_ids)],
    grammar,
  };
}

/** The likeliest token is always taken. */
export function isGreedy({ temperature }: Pick<SamplingFields, 'temperature'>): boolean {
  return (temperature ?? neutralSampling.temperature) < temperatureMin;
}

/** Refuses ids that the model does not have. */
export function checkTokenIds(wish: Wish, vocabSize: number): void {
  const check = (param: string, ids: readonly number[]): void => {
    const wrong = ids.find((id) => id < 0 || id >= vocabSize);
    if (wrong === undefined) return;
    refuse(
      param,
      `${param}: ${wrong} is no token id of this model; they are 0 to ${vocabSize - 1}.`,
    );
  };
  const biased = wish.logitBias.map(([id]) => id);
  check('logit_bias', biased);
  check('stop_token_ids', wish.stopTokenIds);
  check('allowed_token_ids', wish.allowedTokenIds ?? []);
}

/** A bias beyond ±100 counts as that much; of "5" and "05" the last one holds. */
function biasOf(map: Readonly<Record<string, number>>): [number, number][] {
  const biases = new Map<number, number>();
  for (const [key, bias] of Object.entries(map)) {
    biases.set(Number(key), Math.max(-100, Math.min(100, bias)));
  }
  return [...biases];
}

/**
 * Draws are keyed by safe integers: a seed beyond them is folded into one, all its bits counting. The
 * same seed always draws the same; seeds that fold alike exist, neighbours do not.
 */
export function seedOf(seed: bigint): number {
  if (seed >= Number.MIN_SAFE_INTEGER && seed <= Number.MAX_SAFE_INTEGER) return Number(seed);
  return Number(BigInt.asIntN(53, seed ^ ((seed >> 53n) * 0x9e37_79b9_7f4a_7c15n)));
}

function refuse(param: string, message: string): never {
  throw new Fault('invalid_request', message, { param });
}
