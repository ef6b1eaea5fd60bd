// The fields of a chat that its template sees: messages, tools, documents and variables. Variables
// must not stand in for what the template gets from us, and no client brings a template of its own.

import * as v from 'valibot';
import { reservedVariables, type TemplateInput } from '../text/template.ts';
import { flag, object, refuse } from './generation-fields.ts';
import { messagesSchema } from './message-schema.ts';
import { readToolUse, toolEntries } from './tool-fields.ts';

const variableCountMax = 64;

export const templateEntries = {
  messages: messagesSchema,
  ...toolEntries,
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
  const toolUse = readToolUse(fields);
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
    tools: toolUse !== null && Array.isArray(body['tools']) ? body['tools'] : null,
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
