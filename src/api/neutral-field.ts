// Fields of the OpenAI and vLLM request that we know and do not do yet. Ignoring them would change
// the answer behind the client's back, so they are accepted only with the value that means "as if I
// were not here", and refused by name otherwise. A field that gets built leaves this table.

import { Fault } from '../std/fault.ts';
import { clip } from './fault.ts';

type Neutral = { readonly wanted: string; readonly accepts: (value: unknown) => boolean };

const only = (...values: readonly (string | number | boolean)[]): Neutral => ({
  wanted: values.map((value) => JSON.stringify(value)).join(' or '),
  accepts: (value) => values.some((wanted) => wanted === value),
});
const emptyList: Neutral = {
  wanted: '[]',
  accepts: (value) => Array.isArray(value) && value.length === 0,
};
const emptyObject: Neutral = { wanted: '{}', accepts: (value) => JSON.stringify(value) === '{}' };
const absent: Neutral = { wanted: 'null', accepts: () => false };
const json = (wanted: string): Neutral => ({
  wanted,
  accepts: (value) => JSON.stringify(value) === wanted,
});

const neutralFields: ReadonlyMap<string, Neutral> = new Map([
  ['n', only(1)],
  ['best_of', only(1)],
  ['prompt_logprobs', absent],
  ['guided_whitespace_pattern', absent],
  ['functions', emptyList],
  ['function_call', only('none')],
  ['modalities', json('["text"]')],
  ['audio', absent],
  ['web_search_options', absent],
  ['bad_words', emptyList],
  ['allowed_token_ids', absent],
  ['spaces_between_special_tokens', only(true)],
  ['use_beam_search', only(false)],
  ['echo', only(false)],
  ['add_generation_prompt', only(true)],
  ['continue_final_message', only(false)],
  ['add_special_tokens', only(false)],
  ['chat_template', absent],
  ['chat_template_kwargs', emptyObject],
  ['documents', emptyList],
  ['truncate_prompt_tokens', absent],
  ['return_token_ids', only(false)],
  ['return_tokens_as_token_ids', only(false)],
  ['thinking_token_budget', only(-1)],
  ['kv_transfer_params', absent],
  ['cache_salt', absent],
]);

/** Fields that do not change the answer (billing, tracing, hints): accepted and not used. */
const ignoredFields: ReadonlySet<string> = new Set([
  'user',
  'metadata',
  'store',
  'service_tier',
  'safety_identifier',
  'prompt_cache_key',
  'prompt_cache_retention',
  'prediction',
  'verbosity',
  'reasoning_effort',
  'include_reasoning',
  'parallel_tool_calls',
  'request_id',
  'session_id',
]);

/** Refuses what would be ignored wrongly; returns the names of fields that nobody knows. */
export function checkOtherFields(
  body: Readonly<Record<string, unknown>>,
  known: Readonly<Record<string, unknown>>,
): string[] {
  const unknown: string[] = [];
  for (const [field, value] of Object.entries(body)) {
    const neutral = neutralFields.get(field);
    if (neutral === undefined) {
      if (!Object.hasOwn(known, field) && !ignoredFields.has(field)) unknown.push(field);
    } else if (value !== null && !neutral.accepts(value)) {
      throw new Fault(
        'invalid_request',
        `${field}: ${clip(JSON.stringify(value), 100)} is not supported yet. Leave the field out ` +
          `or send ${neutral.wanted}.`,
        { param: field },
      );
    }
  }
  return unknown;
}
