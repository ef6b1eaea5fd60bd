// What a conversation consists of on /v1/responses: messages, thoughts, calls and their results, one item
// each, in either direction. A chat's messages hold several of them, so items are gathered into these.

import * as v from 'valibot';
import { limit } from '../protocol/limit.ts';
import { wholeText as text } from './generation-fields.ts';

const partKinds = '"input_text", "output_text" and "refusal"';
const contentPart = v.variant(
  'type',
  [
    v.object({ type: v.picklist(['input_text', 'output_text', 'text']), text }),
    v.object({ type: v.literal('refusal'), refusal: text }),
  ],
  `Only content parts of type ${partKinds} are supported`,
);
const parts = v.pipe(
  v.array(contentPart),
  v.minLength(1, 'A list of content parts must not be empty'),
);
// Chosen by the value, not by trial (`union`), so that an error names the part at fault.
const content = v.lazy((value) => (Array.isArray(value) ? parts : text));

const itemKinds = 'message, function_call, function_call_output and reasoning';
const message = v.object({
  type: v.optional(v.literal('message', `Only items of type ${itemKinds} are supported`)),
  role: v.picklist(['user', 'assistant', 'system', 'developer']),
  content,
});
const call = v.object({
  type: v.literal('function_call'),
  call_id: text,
  name: text,
  arguments: text,
});
const result = v.object({
  type: v.literal('function_call_output'),
  call_id: text,
  output: content,
});
const thought = v.object({
  type: v.literal('reasoning'),
  content: v.nullish(v.array(v.object({ type: v.literal('reasoning_text'), text }))),
  summary: v.nullish(v.array(v.object({ type: v.literal('summary_text'), text }))),
});

const item = v.lazy((value) => {
  const type = typeof value === 'object' && value !== null && 'type' in value ? value.type : null;
  switch (type) {
    case 'function_call':
      return call;
    case 'function_call_output':
      return result;
    case 'reasoning':
      return thought;
    default:
      return message;
  }
});

/** A conversation may grow beyond what one request may bring. */
export const keptItemsSchema = v.array(item);

export const itemsSchema = v.pipe(
  v.unknown(),
  // Before anything is done with each of them.
  v.check(
    (value) => !Array.isArray(value) || value.length <= limit.messageCountMax,
    `At most ${limit.messageCountMax} items are accepted`,
  ),
  keptItemsSchema,
  v.minLength(1, 'There must be at least one item'),
);
export type ResponseItem = v.InferOutput<typeof itemsSchema>[number];

/** A message in the form of a chat request. */
export type ChatMessage = Readonly<Record<string, unknown>>;

type AssistantMessage = {
  readonly role: 'assistant';
  reasoning?: string;
  content: string | null;
  tool_calls?: object[];
};

/** Thoughts, text and calls that follow each other are one message of the assistant. */
export function messagesOf(items: readonly ResponseItem[]): ChatMessage[] {
  const messages: (ChatMessage | AssistantMessage)[] = [];
  let open: AssistantMessage | null = null;
  const assistant = (fits: (message: AssistantMessage) => boolean): AssistantMessage => {
    if (open !== null && fits(open)) return open;
    open = { role: 'assistant', content: null };
    messages.push(open);
    return open;
  };
  const hasSaid = ({ content: said, tool_calls: calls }: AssistantMessage): boolean =>
    said !== null || calls !== undefined;
  for (const each of items) {
    if (each.type === 'function_call') {
      const { call_id: id, name, arguments: json } = each;
      const holder = assistant(() => true);
      const called = { id, type: 'function', function: { name, arguments: json } };
      holder.tool_calls = [...(holder.tool_calls ?? []), called];
    } else if (each.type === 'reasoning') {
      const said = each.content?.length ? each.content : (each.summary ?? []);
      const reasoning = said.map((part) => part.text).join('\n');
      // Only its signature came back, if anything: there is nothing to show a model.
      if (reasoning === '') continue;
      const holder = assistant((message) => !hasSaid(message));
      holder.reasoning = `${holder.reasoning === undefined ? '' : `${holder.reasoning}\n`}${reasoning}`;
    } else if (each.type === 'function_call_output') {
      open = null;
      messages.push({ role: 'tool', tool_call_id: each.call_id, content: textOf(each.output) });
    } else if (each.role === 'assistant') {
      assistant((message) => !hasSaid(message)).content = textOf(each.content);
    } else {
      open = null;
      messages.push({ role: each.role, content: textOf(each.content) });
    }
  }
  return messages;
}

function textOf(value: v.InferOutput<typeof content>): string {
  if (typeof value === 'string') return value;
  return value.map((part) => (part.type === 'refusal' ? part.refusal : part.text)).join('\n');
}
