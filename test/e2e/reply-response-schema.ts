// OpenAI's published shapes of /v1/responses: the response, its items, and each event of its stream.

import * as v from 'valibot';
import { bytes, count, id, idOf, timing, token } from './reply-schema.ts';

const nullable = v.nullable;
const usage = v.pipe(
  v.strictObject({
    input_tokens: count,
    input_tokens_details: v.strictObject({ cached_tokens: count }),
    output_tokens: count,
    output_tokens_details: v.strictObject({ reasoning_tokens: count }),
    total_tokens: count,
    /** An extension of ours. */
    tdist: timing,
  }),
  v.check((all) => all.input_tokens + all.output_tokens === all.total_tokens, 'no sum'),
);
const logprobs = v.array(
  v.strictObject({ ...token, bytes, top_logprobs: v.array(v.strictObject({ ...token, bytes })) }),
);
const textPart = v.strictObject({
  type: v.literal('output_text'),
  text: v.string(),
  annotations: v.array(v.never()),
  logprobs,
});
const thoughtPart = v.strictObject({ type: v.literal('reasoning_text'), text: v.string() });
const status = v.picklist(['in_progress', 'completed', 'incomplete']);
const item = v.variant('type', [
  v.strictObject({
    id: idOf('msg_'),
    type: v.literal('message'),
    status,
    role: v.literal('assistant'),
    content: v.array(textPart),
  }),
  v.strictObject({
    id: idOf('fc_'),
    type: v.literal('function_call'),
    status,
    call_id: id,
    name: id,
    arguments: v.string(),
  }),
  v.strictObject({
    id: idOf('rs_'),
    type: v.literal('reasoning'),
    summary: v.array(v.never()),
    content: v.array(thoughtPart),
    status,
  }),
]);
const tool = v.strictObject({
  type: v.literal('function'),
  name: id,
  description: nullable(v.string()),
  parameters: nullable(v.record(v.string(), v.unknown())),
  strict: nullable(v.boolean()),
});
const format = v.variant('type', [
  v.strictObject({ type: v.picklist(['text', 'json_object']) }),
  v.strictObject({
    type: v.literal('json_schema'),
    name: id,
    description: nullable(v.string()),
    schema: v.record(v.string(), v.unknown()),
    strict: nullable(v.boolean()),
  }),
]);

const entries = {
  id: idOf('resp_'),
  object: v.literal('response'),
  created_at: count,
  background: v.literal(false),
  error: v.null(),
  model: id,
  instructions: nullable(v.string()),
  max_output_tokens: nullable(count),
  max_tool_calls: v.null(),
  metadata: v.record(v.string(), v.string()),
  parallel_tool_calls: v.boolean(),
  previous_response_id: nullable(idOf('resp_')),
  reasoning: v.strictObject({ effort: nullable(v.string()), summary: nullable(v.literal('auto')) }),
  store: v.boolean(),
  temperature: v.pipe(v.number(), v.minValue(0), v.maxValue(2)),
  text: v.strictObject({ format }),
  tool_choice: v.union([
    v.picklist(['none', 'auto', 'required']),
    v.strictObject({ type: v.literal('function'), name: id }),
  ]),
  tools: v.array(tool),
  top_logprobs: count,
  top_p: v.number(),
  truncation: v.picklist(['auto', 'disabled']),
  user: v.optional(v.string()),
};
const begun = v.strictObject({
  ...entries,
  status: v.literal('in_progress'),
  completed_at: v.null(),
  incomplete_details: v.null(),
  output: v.pipe(v.array(item), v.length(0)),
  usage: v.null(),
});
const output = v.pipe(v.array(item), v.minLength(1));
const completed = v.strictObject({
  ...entries,
  status: v.literal('completed'),
  completed_at: count,
  incomplete_details: v.null(),
  output,
  usage,
});
const incomplete = v.strictObject({
  ...entries,
  status: v.literal('incomplete'),
  completed_at: v.null(),
  incomplete_details: v.strictObject({ reason: v.literal('max_output_tokens') }),
  output,
  usage,
});
const failed = v.strictObject({
  ...entries,
  status: v.literal('failed'),
  completed_at: v.null(),
  error: v.strictObject({
    code: v.picklist(['server_error', 'rate_limit_exceeded']),
    message: v.pipe(v.string(), v.minLength(1)),
  }),
  incomplete_details: v.null(),
  output: v.array(item),
  usage: v.null(),
});
export const response = v.variant('status', [completed, incomplete]);
const inputPart = v.strictObject({ type: v.literal('input_text'), text: v.string() });
const inputItem = v.union([
  item,
  v.strictObject({
    id: idOf('msg_'),
    type: v.literal('message'),
    status,
    role: v.picklist(['user', 'system', 'developer']),
    content: v.array(inputPart),
  }),
  v.strictObject({
    id: idOf('fco_'),
    type: v.literal('function_call_output'),
    status,
    call_id: id,
    output: v.union([v.string(), v.array(inputPart)]),
  }),
]);
export const inputItemList = v.strictObject({
  object: v.literal('list'),
  data: v.array(inputItem),
  first_id: nullable(id),
  last_id: nullable(id),
  has_more: v.boolean(),
});
export const deletedResponse = v.strictObject({
  id: idOf('resp_'),
  object: v.literal('response'),
  deleted: v.literal(true),
});

const event = <const T extends string, E extends v.ObjectEntries>(type: T, more: E) =>
  v.strictObject({ type: v.literal(type), sequence_number: count, ...more });
const ofItem = { item_id: id, output_index: count };
const ofPart = { ...ofItem, content_index: count };
const part = v.variant('type', [textPart, thoughtPart]);
const delta = v.pipe(v.string(), v.minLength(1));

export const responseEvent = v.variant('type', [
  event('response.created', { response: begun }),
  event('response.in_progress', { response: begun }),
  event('response.output_item.added', { output_index: count, item }),
  event('response.content_part.added', { ...ofPart, part }),
  event('response.output_text.delta', { ...ofPart, delta, logprobs }),
  event('response.output_text.done', { ...ofPart, text: v.string(), logprobs }),
  event('response.reasoning_text.delta', { ...ofPart, delta }),
  event('response.reasoning_text.done', { ...ofPart, text: v.string() }),
  event('response.content_part.done', { ...ofPart, part }),
  event('response.function_call_arguments.delta', { ...ofItem, delta }),
  event('response.function_call_arguments.done', { ...ofItem, name: id, arguments: v.string() }),
  event('response.output_item.done', { output_index: count, item }),
  event('response.completed', { response: completed }),
  event('response.incomplete', { response: incomplete }),
  event('response.failed', { response: failed }),
  event('error', {
    code: nullable(v.string()),
    message: v.pipe(v.string(), v.minLength(1)),
    param: nullable(v.string()),
  }),
]);
