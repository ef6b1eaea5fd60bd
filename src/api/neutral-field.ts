// Fields of the OpenAI and vLLM request that we know and do not do yet. Ignoring them would change
// the answer behind the client's back, so they are accepted only with the value that means "as if I
// were not here", and refused by name otherwise. A field that gets built leaves this table.

import { Fault } from '../std/fault.ts';
import { clip } from './fault.ts';

export type Neutral = {
  readonly wanted: string;
  readonly accepts: (value: unknown) => boolean;
  /** What this route calls it. */
  readonly ownName?: string;
};

export const only = (...values: readonly (string | number | boolean)[]): Neutral => ({
  wanted: values.map((value) => JSON.stringify(value)).join(' or '),
  accepts: (value) => values.some((wanted) => wanted === value),
});
export const emptyList: Neutral = {
  wanted: '[]',
  accepts: (value) => Array.isArray(value) && value.length === 0,
};
const emptyObject: Neutral = { wanted: '{}', accepts: (value) => JSON.stringify(value) === '{}' };
export const called = (ownName: string): Neutral => ({
  wanted: 'null',
  accepts: () => false,
  ownName,
});
export const absent: Neutral = { wanted: 'null', accepts: () => false };
const json = (wanted: string): Neutral => ({
  wanted,
  accepts: (value) => JSON.stringify(value) === wanted,
});

export const neutralFields: ReadonlyMap<string, Neutral> = new Map([
  ['best_of', only(1)],
  ['prompt_logprobs', absent],
  ['guided_whitespace_pattern', absent],
  ['functions', emptyList],
  ['function_call', only('none')],
  ['modalities', json('["text"]')],
  ['audio', absent],
  ['web_search_options', absent],
  ['use_beam_search', only(false)],
  ['chat_template', absent],
  ['thinking_token_budget', only(-1)],
  ['kv_transfer_params', absent],
  ['vllm_xargs', emptyObject],
  ['repetition_detection', absent],
  ['stream_interval', only(1)],
  ['logprob_token_ids', emptyList],
  ['return_prompt_text', only(false)],
  ['prompt_embeds', absent],
  ['length_penalty', only(1)],
  ['suffix', only('')],
]);

/** Fields that do not change the answer (billing, tracing, hints): accepted and not used. */
export const ignoredFields: ReadonlySet<string> = new Set([
  'user',
  // Our decoders put no space between special tokens, as those of transformers' fast tokenizers.
  'spaces_between_special_tokens',
  'metadata',
  'store',
  'service_tier',
  'safety_identifier',
  'prompt_cache_key',
  'prompt_cache_retention',
  'prediction',
  'verbosity',
  'request_id',
  'session_id',
]);

/** Refuses what would be ignored wrongly; returns the names of fields that nobody knows. */
export function checkOtherFields(
  body: Readonly<Record<string, unknown>>,
  known: Readonly<Record<string, unknown>>,
  neutrals: ReadonlyMap<string, Neutral> = neutralFields,
): string[] {
  const unknown: string[] = [];
  for (const [field, value] of Object.entries(body)) {
    const neutral = neutrals.get(field);
    if (Object.hasOwn(known, field)) continue;
    if (neutral === undefined) {
      if (!ignoredFields.has(field)) unknown.push(field);
    } else if (value !== null && !neutral.accepts(value)) {
      if (neutral.ownName !== undefined) {
        const message = `${field} is called ${neutral.ownName} on this route.`;
        throw new Fault('invalid_request', message, { param: field });
      }
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
