// The messages of a chat as clients send them, and their one form for templates: text content
// (parts joined), tool arguments as objects, `developer` as `system`, which is what templates know.

import * as v from 'valibot';
import { limit } from '../protocol/limit.ts';
import type { TemplateMessage } from '../text/template.ts';
import { clip } from './fault.ts';

const text = v.pipe(
  v.string(),
  v.check((value) => value.isWellFormed(), 'Invalid Unicode: half of a surrogate pair'),
);

const textPart = v.object({
  type: v.literal('text', 'Only content parts of type "text" are supported yet'),
  text,
});
const parts = v.pipe(
  v.array(textPart),
  v.minLength(1, 'A list of content parts must not be empty'),
  v.transform((list) => list.map((part) => part.text).join('\n')),
);

// Chosen by the value, not by trial (`union`), so that an error names the part at fault.
const content = v.lazy((value) => (Array.isArray(value) ? parts : text));

const toolCall = v.object({
  id: v.string(),
  type: v.literal('function'),
  function: v.object({
    name: v.string(),
    arguments: v.pipe(
      v.string(),
      v.check(
        (json) => !isDeeper(json, limit.jsonDepthMax),
        `Nested deeper than ${limit.jsonDepthMax} levels`,
      ),
      v.transform(argumentsValue),
    ),
  }),
});

const name = v.nullish(v.string());

export const messageSchema = v.variant('role', [
  v.object({ role: v.picklist(['system', 'developer', 'user']), content, name }),
  v.object({
    role: v.literal('assistant'),
    content: v.nullish(content),
    tool_calls: v.nullish(v.array(toolCall)),
    reasoning: v.nullish(text),
    reasoning_content: v.nullish(text),
    name,
  }),
  v.object({ role: v.literal('tool'), content, tool_call_id: v.string(), name }),
]);

const messages = v.pipe(
  v.array(messageSchema),
  v.minLength(1, 'There must be at least one message'),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const id = unknownCallId(dataset.value);
    if (id === null) return;
    addIssue({
      message: `tool_call_id "${clip(id, 100)}" is of no call in the messages before it`,
    });
  }),
  v.transform((list) => list.map(templateMessage)),
);
const tooMany = v.never(`At most ${limit.messageCountMax} messages are accepted`);

// Counted before anything is done with each of them.
export const messagesSchema = v.lazy((value) =>
  Array.isArray(value) && value.length > limit.messageCountMax ? tooMany : messages,
);

/** Of the first result that answers no earlier call. */
function unknownCallId(messages: readonly v.InferOutput<typeof messageSchema>[]): string | null {
  const ids = new Set<string>();
  for (const message of messages) {
    if (message.role === 'assistant') for (const { id } of message.tool_calls ?? []) ids.add(id);
    if (message.role === 'tool' && !ids.has(message.tool_call_id)) return message.tool_call_id;
  }
  return null;
}

function templateMessage(message: v.InferOutput<typeof messageSchema>): TemplateMessage {
  const { name: sender, ...fields } = message;
  const named = sender === null || sender === undefined ? {} : { name: sender };
  switch (fields.role) {
    case 'developer':
      return { ...named, role: 'system', content: fields.content };
    case 'assistant': {
      const { tool_calls: calls, content: answer, role } = fields;
      // An empty list would be calls to a template that only asks whether there is one.
      const called = (calls?.length ?? 0) === 0 ? {} : { tool_calls: calls };
      // Templates know the thoughts of an earlier answer by either name.
      const thought = fields.reasoning_content ?? fields.reasoning ?? null;
      const thinking = thought === null ? {} : { reasoning: thought, reasoning_content: thought };
      return { ...named, ...called, ...thinking, role, content: answer ?? null };
    }
    default:
      return { ...named, ...fields };
  }
}

/** Brackets within each other, strings left out; of what is no JSON it says what it finds. */
function isDeeper(json: string, depthMax: number): boolean {
  let depth = 0;
  let isText = false;
  for (let at = 0; at < json.length; at++) {
    const char = json[at];
    if (isText && char === '\\') at++;
    else if (char === '"') isText = !isText;
    else if (isText) continue;
    else if (char === '{' || char === '[') depth++;
    else if (char === '}' || char === ']') depth--;
    if (depth > depthMax) return true;
  }
  return false;
}

/** Templates iterate over arguments, so they get the object; a model's broken JSON stays text. */
function argumentsValue(json: string): unknown {
  if (json.trim() === '') return {};
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}
