// The fields that every request for generated text may have, beside those of sampling-fields.ts: how
// long the answer is, where it stops, how it is sent, and what becomes of the prompt. `null` is absent.

import * as v from 'valibot';
import { limit } from '../protocol/limit.ts';
import { prioritySchema } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import { digest } from '../std/hash.ts';
import type { Chance } from '../std/prng.ts';
import type { Ask } from './ask.ts';
import { clip } from './fault.ts';
import { readGrammar } from './grammar-fields.ts';
import { isGreedy, readSampling, samplingEntries } from './sampling-fields.ts';

export const integer = v.pipe(v.number(), v.safeInteger('Invalid value: Expected an integer'));
export const flag = v.nullish(v.boolean());
const record = v.record(v.string(), v.unknown());
const noObject = v.never('Invalid type: Expected an object');
export const object = v.lazy((value) => (Array.isArray(value) ? noObject : record));
const { stopCharsMax, stopCountMax, badWordCharsMax, badWordCountMax } = limit;

export const wholeText = v.pipe(
  v.string(),
  v.check((value) => value.isWellFormed(), 'Invalid Unicode: half of a surrogate pair'),
);
const stop = v.pipe(
  wholeText,
  v.minLength(1, 'A stop string must not be empty'),
  v.maxLength(stopCharsMax, `A stop string has at most ${stopCharsMax} characters`),
);
const stops = v.pipe(
  v.array(stop),
  v.maxLength(stopCountMax, `At most ${stopCountMax} stop strings are accepted`),
);
const badWord = v.pipe(
  wholeText,
  v.check((word) => word.trim() !== '', 'A bad word must not be empty'),
  v.maxLength(badWordCharsMax, `A bad word has at most ${badWordCharsMax} characters`),
);

export const generationEntries = {
  model: v.nullish(v.string()),
  stream: flag,
  stream_options: v.nullish(
    v.object({
      include_usage: flag,
      continuous_usage_stats: flag,
      include_obfuscation: flag,
    }),
  ),
  ...samplingEntries,
  priority: v.nullish(prioritySchema),
  stop: v.nullish(v.lazy((value) => (Array.isArray(value) ? stops : stop))),
  bad_words: v.nullish(
    v.pipe(
      v.array(badWord),
      v.maxLength(badWordCountMax, `At most ${badWordCountMax} bad words are accepted`),
    ),
  ),
  cache_salt: v.nullish(
    v.pipe(
      wholeText,
      v.minLength(1, 'A salt must not be empty'),
      v.maxLength(limit.cacheSaltCharsMax),
      v.regex(/^[^@/\\\0]*$/, 'A salt has no "@", "/", "\\" or NUL'),
    ),
  ),
  truncate_prompt_tokens: v.nullish(
    v.pipe(
      integer,
      v.check((count) => count === -1 || count >= 1, 'Expected a positive integer, or -1'),
    ),
  ),
  truncation_side: v.nullish(v.picklist(['left', 'right'])),
  add_special_tokens: flag,
  return_token_ids: flag,
  return_tokens_as_token_ids: flag,
};

const generationSchema = v.object(generationEntries);
export type GenerationFields = v.InferOutput<typeof generationSchema>;

export type Lengths = Pick<Ask, 'promptField'> & {
  readonly maxTokens: number | null;
  readonly drawCount: number;
  /** Of the answer's tokens: how many likeliest ones beside each; null: no logprobs. */
  readonly logprobs: number | null;
  readonly promptLogprobs: number | null;
};

export function readAsk(fields: GenerationFields, lengths: Lengths, chance: Chance): Ask {
  const { promptField, maxTokens, drawCount, logprobs, promptLogprobs } = lengths;
  checkTogether(fields, lengths);
  const stopList = fields.stop ?? [];
  const salt = fields.cache_salt ?? null;
  const form = readGrammar(fields);
  return {
    model: fields.model === '' ? null : (fields.model ?? null),
    stream: fields.stream ?? false,
    includeUsage: fields.stream_options?.include_usage ?? false,
    continuousUsage: fields.stream_options?.continuous_usage_stats ?? false,
    promptField,
    choiceCount: fields.n ?? 1,
    drawCount,
    stops: typeof stopList === 'string' ? [stopList] : stopList,
    badWords: fields.bad_words ?? [],
    includeStop: fields.include_stop_str_in_output ?? false,
    skipSpecial: fields.skip_special_tokens ?? true,
    maxTokens,
    sampling: {
      ...readSampling(fields, form?.spec ?? null, chance),
      logprobs,
      promptLogprobs,
    },
    formField: form?.param ?? null,
    priority: fields.priority ?? 0,
    cacheSalt: salt === null ? null : digest(salt),
    keepTokens: fields.truncate_prompt_tokens ?? null,
    keepSide: fields.truncation_side === 'right' ? 'first' : 'last',
    returnTokenIds: fields.return_token_ids ?? false,
    namesById: fields.return_tokens_as_token_ids ?? false,
  };
}

function checkTogether(fields: GenerationFields, { maxTokens, drawCount }: Lengths): void {
  const options = fields.stream_options ?? null;
  if (options !== null && fields.stream !== true) {
    refuse('stream_options', 'stream_options is only allowed with "stream": true.');
  }
  if (options?.continuous_usage_stats === true && options.include_usage !== true) {
    refuse('stream_options', 'continuous_usage_stats needs "include_usage": true beside it.');
  }
  if (drawCount > 1 && isGreedy(fields)) {
    const name = (fields.n ?? 1) > 1 ? 'n' : 'best_of';
    const why = 'where all choices are the same';
    refuse(name, `${name} is ${drawCount}; it must be 1 at temperature 0, ${why}.`);
  }
  const minTokens = fields.min_tokens ?? 0;
  if (maxTokens !== null && minTokens > maxTokens) {
    refuse('min_tokens', `min_tokens is ${minTokens}, more than the ${maxTokens} of max_tokens.`);
  }
}

export function refuse(param: string, message: string): never {
  throw new Fault('invalid_request', message, { param });
}

/** No value in JSON is undefined. A message of our own says more. */
function isAbsent({ received, message }: v.BaseIssue<unknown>): boolean {
  return received === 'undefined' && message.startsWith('Invalid ');
}

export function issueFault(issue: v.BaseIssue<unknown>): Fault {
  const path = v.getDotPath(issue);
  if (path !== null && isAbsent(issue)) {
    const param = clip(path, 100);
    return new Fault('invalid_request', `${param} is required.`, { param });
  }
  const message = clip(issue.message, 300);
  return path === null
    ? new Fault('invalid_request', message)
    : new Fault('invalid_request', `${clip(path, 100)}: ${message}`, { param: clip(path, 100) });
}
