// The fields of a chat request that mean something here. `null` is the same as absent. Fields that
// are known but not built yet stand in `neutral-field.ts`.

import * as v from 'valibot';
import { limit } from '../protocol/limit.ts';
import { prioritySchema } from '../protocol/request.ts';
import { messagesSchema } from './message-schema.ts';
import { samplingEntries } from './sampling-fields.ts';

const integer = v.pipe(v.number(), v.safeInteger('Invalid value: Expected an integer'));
const tokens = v.pipe(integer, v.minValue(1));
const flag = v.nullish(v.boolean());

const stop = v.pipe(
  v.string(),
  v.minLength(1, 'A stop string must not be empty'),
  v.maxLength(limit.stopCharsMax, `A stop string has at most ${limit.stopCharsMax} characters`),
  v.check((value) => value.isWellFormed(), 'Invalid Unicode: half of a surrogate pair'),
);
const stops = v.pipe(
  v.array(stop),
  v.maxLength(limit.stopCountMax, `At most ${limit.stopCountMax} stop strings are accepted`),
);

const toolCountMax = 128;
const tool = v.object({
  type: v.literal('function', 'Only tools of type "function" are supported'),
  function: v.object({
    name: v.pipe(
      v.string(),
      v.regex(/^[A-Za-z0-9_-]{1,64}$/, 'A tool name has 1 to 64 letters, digits, "_" or "-"'),
    ),
    description: v.nullish(v.string()),
    parameters: v.nullish(v.record(v.string(), v.unknown())),
  }),
});
const tools = v.pipe(
  v.array(tool),
  v.minLength(1, 'The list of tools must not be empty; leave it out instead'),
  v.maxLength(toolCountMax, `At most ${toolCountMax} tools are accepted`),
  v.check(
    (list) => new Set(list.map((entry) => entry.function.name)).size === list.length,
    'Two tools have the same name',
  ),
);

export const chatSchema = v.object({
  model: v.nullish(v.string()),
  messages: messagesSchema,
  stream: flag,
  stream_options: v.nullish(
    v.object({
      include_usage: flag,
      continuous_usage_stats: flag,
      include_obfuscation: flag,
    }),
  ),
  max_tokens: v.nullish(tokens),
  max_completion_tokens: v.nullish(tokens),
  ...samplingEntries,
  priority: v.nullish(prioritySchema),
  stop: v.nullish(v.lazy((value) => (Array.isArray(value) ? stops : stop))),
  tools: v.nullish(tools),
  tool_choice: v.nullish(
    v.picklist(['none', 'auto'], 'Only "none" and "auto" are supported yet as tool_choice'),
  ),
});
export type ChatFields = v.InferOutput<typeof chatSchema>;
