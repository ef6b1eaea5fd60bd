// A completion request's JSON → what we were asked, as values; or a refusal that names the field.

import * as v from 'valibot';
import { limit } from '../protocol/limit.ts';
import type { Ask } from './ask.ts';
import { flag, generationEntries, integer, readAsk, refuse } from './generation-fields.ts';
import { type IntakePorts, readFields } from './intake.ts';

/** OpenAI's, for this route alone. */
const maxTokensDefault = 16;

const count = v.pipe(integer, v.minValue(0));

const promptForms = 'a string, a list of strings, a list of token ids, or a list of such lists';

export const completionSchema = v.object({
  ...generationEntries,
  prompt: v.pipe(v.unknown(), v.description(promptForms)),
  max_tokens: v.nullish(count),
  echo: flag,
  logprobs: v.nullish(v.pipe(count, v.maxValue(limit.topLogprobsMax))),
  best_of: v.nullish(
    v.pipe(
      integer,
      v.minValue(1),
      v.maxValue(limit.choiceCountMax, `At most ${limit.choiceCountMax} choices are generated`),
    ),
  ),
});

export type Prompt = { readonly text: string } | { readonly ids: readonly number[] };

export type CompletionRequest = Ask & {
  readonly prompts: readonly Prompt[];
  readonly addSpecialTokens: boolean;
  /** The prompt stands before each answer. */
  readonly echoes: boolean;
};

export function readCompletionRequest(
  body: Readonly<Record<string, unknown>>,
  ports: IntakePorts,
): CompletionRequest {
  const fields = readFields(completionSchema, body, ports.log);
  const prompts = readPrompts(fields.prompt);
  const choiceCount = fields.n ?? 1;
  const drawCount = fields.best_of ?? choiceCount;
  if (drawCount < choiceCount) {
    refuse('best_of', `best_of is ${drawCount}, less than the ${choiceCount} of n.`);
  }
  if (drawCount > choiceCount && fields.stream === true) {
    refuse('best_of', 'best_of above n cannot be streamed: the best are known only at the end.');
  }
  if (prompts.length * drawCount > limit.choiceTotalMax) {
    const found = `${prompts.length} prompts with ${drawCount} choices each`;
    refuse('n', `${found}: one request may have ${limit.choiceTotalMax} choices in all.`);
  }
  const echoes = fields.echo ?? false;
  const maxTokens = fields.max_tokens ?? maxTokensDefault;
  if (maxTokens === 0 && !echoes) {
    refuse('max_tokens', 'max_tokens is 0; without "echo": true it must be at least 1.');
  }
  const logprobs = fields.logprobs ?? null;
  const promptLogprobs = echoes ? logprobs : null;
  const lengths = {
    promptField: 'prompt',
    maxTokens,
    drawCount,
    logprobs,
    promptLogprobs,
  } as const;
  const ask = readAsk(fields, lengths, ports.chance);
  return { ...ask, prompts, addSpecialTokens: fields.add_special_tokens ?? true, echoes };
}

/** One or several, as text or as token ids. */
function readPrompts(value: unknown): readonly Prompt[] {
  const wanted = `send ${promptForms}`;
  if (value === undefined || value === null || value === '') {
    refuse('prompt', `prompt is missing or empty; ${wanted}.`);
  }
  if (typeof value === 'string') return [readText(value, 'prompt')];
  if (!Array.isArray(value)) return refuse('prompt', `prompt is a ${typeof value}; ${wanted}.`);
  const list: readonly unknown[] = value;
  if (list.length === 0) refuse('prompt', `prompt is an empty list; ${wanted}.`);
  if (typeof list[0] === 'number') return [{ ids: readIds(list, 'prompt') }];
  if (list.length > limit.promptCountMax) {
    const most = `at most ${limit.promptCountMax} are accepted in one request`;
    refuse('prompt', `prompt has ${list.length} prompts; ${most}.`);
  }
  const isText = typeof list[0] === 'string';
  return list.map((entry, index) => {
    const param = `prompt.${index}`;
    if (isText && typeof entry === 'string' && entry !== '') return readText(entry, param);
    if (!isText && Array.isArray(entry) && entry.length > 0) return { ids: readIds(entry, param) };
    const kind = isText ? 'a string that is not empty' : 'a list of token ids that is not empty';
    return refuse(param, `${param} must be ${kind}, as the first one; ${wanted}.`);
  });
}

function readText(text: string, param: string): Prompt {
  if (!text.isWellFormed()) refuse(param, 'Invalid Unicode: half of a surrogate pair');
  return { text };
}

function readIds(list: readonly unknown[], param: string): readonly number[] {
  return list.map((id, index) => {
    if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0) return id;
    return refuse(
      `${param}.${index}`,
      `${param}.${index} is no token id: a whole number from 0 on.`,
    );
  });
}
