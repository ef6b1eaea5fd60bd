// The fields of a response request that mean something here. `null` is the same as absent. Those of
// `passedFields` are no part of OpenAI's; they mean what they mean in a chat, whose schema judges them.

import * as v from 'valibot';
import { limit } from '../protocol/limit.ts';
import { chatSchema } from './chat-schema.ts';
import { flag, integer, object, wholeText } from './generation-fields.ts';
import { absent, called, emptyList, type Neutral, neutralFields, only } from './neutral-field.ts';
import { itemsSchema } from './response-items.ts';

const tool = v.object({
  type: v.literal('function', 'Only tools of type "function" are supported'),
  name: v.string(),
  description: v.nullish(v.string()),
  parameters: v.nullish(object),
  strict: v.nullish(v.boolean()),
});
const choiceWord = v.picklist(
  ['none', 'auto', 'required'],
  'Expected "none", "auto", "required" or {"type": "function", "name": …}',
);
const choiceName = v.object({
  type: v.literal('function', 'Only a choice of type "function" is supported'),
  name: v.string(),
});
const format = v.variant(
  'type',
  [
    v.object({ type: v.literal('text') }),
    v.object({ type: v.literal('json_object') }),
    v.object({
      type: v.literal('json_schema'),
      name: v.string(),
      description: v.nullish(v.string()),
      schema: v.record(v.string(), v.unknown()),
      strict: v.nullish(v.boolean()),
    }),
  ],
  'Expected type "text", "json_object" or "json_schema"',
);
const { metadataCountMax } = limit;
const metadata = v.pipe(
  object,
  v.record(v.pipe(v.string(), v.maxLength(64)), v.pipe(v.string(), v.maxLength(512))),
  v.check(
    (map) => Object.keys(map).length <= metadataCountMax,
    `At most ${metadataCountMax} pairs are accepted`,
  ),
);
const logprobs = 'message.output_text.logprobs';

export const responseSchema = v.object({
  model: v.nullish(v.string()),
  input: v.lazy((value) => (typeof value === 'string' ? wholeText : itemsSchema)),
  instructions: v.nullish(wholeText),
  previous_response_id: v.nullish(v.string()),
  store: flag,
  stream: flag,
  stream_options: v.nullish(v.object({ include_obfuscation: flag })),
  max_output_tokens: v.nullish(v.pipe(integer, v.minValue(1))),
  temperature: chatSchema.entries.temperature,
  top_p: chatSchema.entries.top_p,
  top_logprobs: chatSchema.entries.top_logprobs,
  include: v.nullish(v.array(v.literal(logprobs, `Only "${logprobs}" is supported`))),
  tools: v.nullish(v.array(tool)),
  tool_choice: v.nullish(
    v.lazy((value) => (typeof value === 'object' && value !== null ? choiceName : choiceWord)),
  ),
  parallel_tool_calls: flag,
  text: v.nullish(v.object({ format: v.nullish(format) })),
  reasoning: v.nullish(
    v.object({
      effort: chatSchema.entries.reasoning_effort,
      summary: v.nullish(v.literal('auto', 'Only "auto" is supported: thoughts come as they are')),
    }),
  ),
  truncation: v.nullish(v.picklist(['auto', 'disabled'])),
  metadata: v.nullish(metadata),
  user: v.nullish(v.string()),
});
export type ResponseFields = v.InferOutput<typeof responseSchema>;

export const passedFields: readonly (keyof typeof chatSchema.entries)[] = [
  'top_k',
  'min_p',
  'presence_penalty',
  'frequency_penalty',
  'repetition_penalty',
  'logit_bias',
  'seed',
  'stop',
  'min_tokens',
  'stop_token_ids',
  'ignore_eos',
  'structured_outputs',
  'chat_template_kwargs',
  'priority',
  'cache_salt',
];

const known: ReadonlySet<string> = new Set([
  ...Object.keys(responseSchema.entries),
  ...passedFields,
]);

/** Fields of a chat that are none of a response: ignoring them would change the answer. */
const ofChat = Object.keys(chatSchema.entries).filter((field) => !known.has(field));

/** What a field of the chat is called here. */
export const responseNames = [
  ['messages', 'input'],
  ['response_format', 'text.format'],
  ['max_completion_tokens', 'max_output_tokens'],
  ['max_tokens', 'max_output_tokens'],
  ['reasoning_effort', 'reasoning.effort'],
] as const;

export const neutralInResponse: ReadonlyMap<string, Neutral> = new Map([
  ...neutralFields,
  ...ofChat.map((field) => [field, absent] as const),
  ...responseNames.map(([field, name]) => [field, called(name)] as const),
  ['n', only(1)],
  ['background', only(false)],
  ['conversation', absent],
  ['prompt', absent],
  ['max_tool_calls', absent],
  ['context_management', emptyList],
  ['moderation', absent],
]);
