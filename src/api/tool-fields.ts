// The fields of a chat that say which tools the model may call, and what it may do with them.

import * as v from 'valibot';
import { clip } from './fault.ts';
import { flag, object, refuse } from './generation-fields.ts';

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

const choiceWord = v.picklist(
  ['none', 'auto', 'required'],
  'Expected "none", "auto", "required" or {"type": "function", "function": {"name": …}}',
);
const choiceName = v.object({
  type: v.literal('function', 'Only a choice of type "function" is supported'),
  function: v.object({ name: v.string() }),
});

export const toolEntries = {
  tools: v.nullish(tools),
  // Chosen by the value, not by trial (`union`), so that an error names what is wrong.
  tool_choice: v.nullish(
    v.lazy((value) => (typeof value === 'object' && value !== null ? choiceName : choiceWord)),
  ),
  parallel_tool_calls: flag,
};
const toolSchema = v.object(toolEntries);
export type ToolFields = v.InferOutput<typeof toolSchema>;

/** What the model may do with tools that it is shown. */
export type ToolUse = {
  /** As it likes; at least one call; or exactly a call of the one that is named. */
  readonly choice: 'auto' | 'required' | { readonly name: string };
  readonly tools: readonly v.InferOutput<typeof tool>['function'][];
  /** More than one call in an answer. */
  readonly isParallel: boolean;
};

/** Null: there are no tools, or none may be called. */
export function readToolUse(fields: ToolFields): ToolUse | null {
  const given = fields.tools ?? null;
  const wanted = fields.tool_choice ?? null;
  if (given === null) {
    if (wanted === null || wanted === 'none') return null;
    return refuse('tool_choice', `tool_choice ${nameOf(wanted)} needs tools to choose from.`);
  }
  if (wanted === 'none') return null;
  const list = given.map((entry) => entry.function);
  const choice = typeof wanted === 'object' && wanted !== null ? wanted.function : wanted;
  if (typeof choice === 'object' && choice !== null) {
    if (!list.some(({ name }) => name === choice.name)) {
      const names = clip(list.map(({ name }) => `"${name}"`).join(', '), 200);
      const wrong = `"${clip(choice.name, 100)}"`;
      refuse('tool_choice', `tool_choice: no tool is called ${wrong}; there are ${names}.`);
    }
    return { choice, tools: list, isParallel: false };
  }
  return { choice: choice ?? 'auto', tools: list, isParallel: fields.parallel_tool_calls ?? true };
}

function nameOf(choice: NonNullable<ToolFields['tool_choice']>): string {
  return `"${clip(typeof choice === 'string' ? choice : choice.function.name, 100)}"`;
}
