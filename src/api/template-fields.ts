// The fields of a chat that its template sees: messages, tools, documents and variables. Variables
// must not stand in for what the template gets from us, and no client brings a template of its own.

import * as v from 'valibot';
import { reservedVariables, type TemplateInput } from '../text/template.ts';
import { flag, refuse } from './generation-fields.ts';
import { messagesSchema } from './message-schema.ts';

const object = v.pipe(
  v.unknown(),
  v.check((value) => !Array.isArray(value), 'Invalid type: Expected an object'),
  v.record(v.string(), v.unknown()),
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
    parameters: v.nullish(object),
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

const variableCountMax = 64;

export const templateEntries = {
  messages: messagesSchema,
  tools: v.nullish(tools),
  tool_choice: v.nullish(
    v.picklist(['none', 'auto'], 'Only "none" and "auto" are supported yet as tool_choice'),
  ),
  add_generation_prompt: flag,
  continue_final_message: flag,
  documents: v.nullish(v.pipe(v.array(object), v.maxLength(1024))),
  chat_template_kwargs: v.nullish(
    v.pipe(
      object,
      v.check(
        (map) => Object.keys(map).length <= variableCountMax,
        `At most ${variableCountMax} variables are accepted`,
      ),
    ),
  ),
  reasoning_effort: v.nullish(
    v.picklist(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']),
  ),
};
const templateSchema = v.object(templateEntries);
export type TemplateFields = v.InferOutput<typeof templateSchema>;

/** @param body as it came: the template sees tools as the client wrote them. */
export function readTemplateInput(
  fields: TemplateFields,
  body: Readonly<Record<string, unknown>>,
): TemplateInput {
  const { messages } = fields;
  if (fields.tool_choice === 'auto' && (fields.tools ?? null) === null) {
    refuse('tool_choice', 'tool_choice "auto" needs tools to choose from.');
  }
  const continuesFinal = fields.continue_final_message ?? false;
  if (continuesFinal && fields.add_generation_prompt === true) {
    const why = 'it begins a new message';
    refuse('add_generation_prompt', `add_generation_prompt and continue_final_message: ${why}.`);
  }
  if (continuesFinal && messages.at(-1)?.role !== 'assistant') {
    refuse('continue_final_message', 'The last message must be the assistant’s to be continued.');
  }
  return {
    messages,
    tools: Array.isArray(body['tools']) && fields.tool_choice !== 'none' ? body['tools'] : null,
    addGenerationPrompt: fields.add_generation_prompt ?? !continuesFinal,
    continuesFinal,
    documents: fields.documents ?? null,
    variables: variablesOf(fields),
  };
}

function variablesOf(fields: TemplateFields): Readonly<Record<string, unknown>> {
  const variables = fields.chat_template_kwargs ?? {};
  const taken = Object.keys(variables).find((name) => reservedVariables.has(name));
  if (taken !== undefined) {
    const param = 'chat_template_kwargs';
    refuse(param, `${param}: ${taken} is what the template gets from us; choose another name.`);
  }
  const effort = fields.reasoning_effort ?? null;
  return effort === null ? variables : { reasoning_effort: effort, ...variables };
}
