// A response request's JSON → the chat that it means, and what the answer repeats of it; or a refusal
// that names the field. Items become a chat's messages, so all that a chat can do is done one way only.

import { Fault } from '../std/fault.ts';
import { refuse } from './generation-fields.ts';
import { type ChatRequest, type IntakePorts, readChatRequest, readFields } from './intake.ts';
import { checkOtherFields } from './neutral-field.ts';
import { messagesOf, type ResponseItem } from './response-items.ts';
import {
  neutralInResponse,
  passedFields,
  type ResponseFields,
  responseNames,
  responseSchema,
} from './response-schema.ts';

export type ResponseRequest = {
  readonly chat: ChatRequest;
  readonly fields: ResponseFields;
  /** The conversation up to here, but for instructions. */
  readonly items: readonly ResponseItem[];
};

/** @param historyOf the conversation that ends in the response of this id; throws where there is none. */
export function readResponseRequest(
  body: Readonly<Record<string, unknown>>,
  ports: IntakePorts,
  historyOf: (id: string) => readonly ResponseItem[],
): ResponseRequest {
  const entries = { ...responseSchema.entries, ...Object.fromEntries(passed(body)) };
  const fields = readFields(responseSchema, body, ports.log, (all) =>
    checkOtherFields(all, entries, neutralInResponse),
  );
  const options = fields.stream_options ?? null;
  if (options !== null && fields.stream !== true) {
    refuse('stream_options', 'stream_options is only allowed with "stream": true.');
  }
  const id = fields.previous_response_id ?? null;
  const { input } = fields;
  const said: readonly ResponseItem[] =
    typeof input === 'string' ? [{ role: 'user', content: input }] : input;
  const items = [...(id === null ? [] : historyOf(id)), ...said];
  return renaming(() => {
    const chat = readChatRequest(chatBody(body, fields, items), ports);
    const formField = chat.formField === null ? null : renamed(chat.formField);
    return { chat: { ...chat, promptField: 'input', formField }, fields, items };
  });
}

function passed(body: Readonly<Record<string, unknown>>): [string, unknown][] {
  return passedFields.filter((name) => Object.hasOwn(body, name)).map((name) => [name, body[name]]);
}

function chatBody(
  body: Readonly<Record<string, unknown>>,
  fields: ResponseFields,
  items: readonly ResponseItem[],
): Readonly<Record<string, unknown>> {
  const { instructions, include } = fields;
  const first = instructions == null ? [] : [{ role: 'system', content: instructions }];
  const stream = fields.stream ?? false;
  const logprobs = (include?.length ?? 0) > 0 || (fields.top_logprobs ?? 0) > 0;
  return {
    ...Object.fromEntries(passed(body)),
    model: fields.model,
    messages: [...first, ...messagesOf(items)],
    stream,
    // The last event tells the usage.
    ...(stream ? { stream_options: { include_usage: true } } : {}),
    max_completion_tokens: fields.max_output_tokens,
    temperature: fields.temperature,
    top_p: fields.top_p,
    ...(logprobs ? { logprobs, top_logprobs: fields.top_logprobs } : {}),
    ...toolsOf(fields),
    response_format: formatOf(fields),
    reasoning_effort: fields.reasoning?.effort,
  };
}

/** Agents send an empty list where they have no tools. */
function toolsOf(fields: ResponseFields): Readonly<Record<string, unknown>> {
  const { tool_choice: choice } = fields;
  const isNamed = typeof choice === 'object' && choice !== null;
  const tools = (fields.tools ?? []).map(({ type, name, description, parameters }) => ({
    type,
    function: {
      name,
      ...(description == null ? {} : { description }),
      ...(parameters == null ? {} : { parameters }),
    },
  }));
  const wanted = isNamed ? { type: 'function', function: { name: choice.name } } : choice;
  if (tools.length === 0) return choice === 'auto' ? {} : { tool_choice: wanted };
  return { tools, tool_choice: wanted, parallel_tool_calls: fields.parallel_tool_calls };
}

function formatOf({ text }: ResponseFields): object | null {
  const format = text?.format ?? null;
  if (format === null || format.type !== 'json_schema') return format;
  const { type, ...json_schema } = format;
  return { type, json_schema };
}

/** Does `work`; its refusals then name the fields of this route. */
export function renaming<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw inOurWords(thrown);
  }
}

/** The same for work that takes its time. */
export async function renamingAside<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw inOurWords(thrown);
  }
}

function inOurWords(thrown: unknown): unknown {
  if (!(thrown instanceof Fault) || thrown.param === undefined) return thrown;
  const param = renamed(thrown.param);
  return new Fault(thrown.code, renamed(thrown.message), { param, cause: thrown });
}

function renamed(text: string): string {
  const flat = text.replace(/\b(tools\.\d+)\.function\b/g, '$1');
  return responseNames.reduce(
    (now, [from, to]) => now.replace(new RegExp(`\\b${from}\\b`, 'g'), to),
    flat,
  );
}
