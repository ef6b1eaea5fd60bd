// The request fields that say how tokens are chosen: their bounds, and what they mean as numbers.
// Defaults are OpenAI's; a model's generation_config.json has no say. Token ids are checked against
// the vocabulary once the model is known.

import * as v from 'valibot';
import { limit } from '../protocol/limit.ts';
import { neutralSampling, type Sampling } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import type { Chance } from '../std/prng.ts';
import { grammarEntries, readGrammar } from './grammar-fields.ts';

const integer = v.pipe(v.number(), v.safeInteger('Invalid value: Expected an integer'));
const flag = v.nullish(v.boolean());
const penalty = v.nullish(v.pipe(v.number(), v.minValue(-2), v.maxValue(2)));

/** What int64 holds; JSON numbers round at its ends, so these are not exact to the last bit. */
const seedMax = 2 ** 63;
const { logitBiasCountMax, stopTokenCountMax, topLogprobsMax } = limit;

const logitBias = v.pipe(
  v.unknown(),
  v.check((value) => !Array.isArray(value), 'Invalid type: Expected an object of token id: bias'),
  v.record(v.string(), v.pipe(v.number(), v.finite())),
  v.check((map) => Object.keys(map).every((key) => /^-?\d{1,15}$/.test(key)), 'Keys are token ids'),
  v.check(
    (map) => Object.keys(map).length <= logitBiasCountMax,
    `At most ${logitBiasCountMax} tokens can be biased`,
  ),
);

export const samplingEntries = {
  ...grammarEntries,
  temperature: v.nullish(v.pipe(v.number(), v.minValue(0), v.maxValue(2))),
  top_p: v.nullish(v.pipe(v.number(), v.gtValue(0), v.maxValue(1))),
  top_k: v.nullish(v.pipe(integer, v.minValue(-1))),
  min_p: v.nullish(v.pipe(v.number(), v.minValue(0), v.maxValue(1))),
  presence_penalty: penalty,
  frequency_penalty: penalty,
  repetition_penalty: v.nullish(v.pipe(v.number(), v.finite(), v.gtValue(0))),
  logit_bias: v.nullish(logitBias),
  seed: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(-seedMax), v.maxValue(seedMax))),
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
  logprobs: flag,
  top_logprobs: v.nullish(v.pipe(integer, v.minValue(0), v.maxValue(topLogprobsMax))),
};

const samplingSchema = v.object(samplingEntries);
export type SamplingFields = v.InferOutput<typeof samplingSchema>;

/** All that does not depend on prompt and model. */
export type Wish = Omit<Sampling, 'maxTokens'>;

/** Below this, logits divided by the temperature overflow; it means greedy. */
const temperatureMin = 1e-5;

export function readSampling(fields: SamplingFields, chance: Chance): Wish {
  if ((fields.top_logprobs ?? 0) > 0 && fields.logprobs !== true) {
    refuse('top_logprobs', 'top_logprobs needs "logprobs": true beside it.');
  }
  const temperature = fields.temperature ?? neutralSampling.temperature;
  return {
    temperature: temperature < temperatureMin ? 0 : temperature,
    topK: Math.max(0, Math.min(0x7fff_ffff, fields.top_k ?? neutralSampling.topK)),
    topP: fields.top_p ?? neutralSampling.topP,
    minP: fields.min_p ?? neutralSampling.minP,
    presencePenalty: fields.presence_penalty ?? neutralSampling.presencePenalty,
    frequencyPenalty: fields.frequency_penalty ?? neutralSampling.frequencyPenalty,
    repetitionPenalty: fields.repetition_penalty ?? neutralSampling.repetitionPenalty,
    logitBias: biasOf(fields.logit_bias ?? {}),
    seed: safeSeed(fields.seed ?? chance.u32()),
    minTokens: fields.min_tokens ?? neutralSampling.minTokens,
    stopTokenIds: [...new Set(fields.stop_token_ids ?? [])],
    ignoreEos: fields.ignore_eos ?? neutralSampling.ignoreEos,
    logprobs: fields.logprobs === true ? (fields.top_logprobs ?? 0) : null,
    grammar: readGrammar(fields),
  };
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
 * Seeds up to int64 are legal, draws take safe integers: larger ones keep their low 53 bits. JSON
 * has rounded those to a multiple of 2 or more before, so neighbours may draw alike; the same seed
 * always draws the same.
 */
function safeSeed(seed: number): number {
  return Number.isSafeInteger(seed) ? seed : Number(BigInt.asIntN(53, BigInt(seed)));
}

function refuse(param: string, message: string): never {
  throw new Fault('invalid_request', message, { param });
}
