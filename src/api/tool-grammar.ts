// A demanded call as a grammar of the whole answer: it parses, and its arguments fit the tool's
// parameters, whatever the model is like. Only its length can cut it off.

import { type ToolCallForm, toolCallGrammar } from '../grammar/tool-call.ts';
import type { GrammarSpec } from '../protocol/grammar.ts';
import { limit } from '../protocol/limit.ts';
import type { ToolParserName } from '../protocol/request.ts';
import type { JsonObject } from './body.ts';
import { clip } from './fault.ts';
import { refuse } from './generation-fields.ts';
import type { ToolUse } from './tool-fields.ts';

/** In the model's own marks it knows how to end; in a list it may go on for as long as it is let. */
const tagged = { begin: '<tool_call>', end: '</tool_call>', separator: '\n' };

/** Whether demanded calls are written between marks; otherwise they are a list. */
export function isTagged(family: ToolParserName | null | undefined): boolean {
  return family === 'hermes';
}

/**
 * Null: no call is demanded. Refuses parameters that are no object; form.ts looks at the rest.
 * @param family how the model writes calls, where that is known already.
 */
export function demandedGrammar(
  use: ToolUse | null,
  family: ToolParserName | null = null,
): GrammarSpec | null {
  if (use === null || use.choice === 'auto') return null;
  const { choice } = use;
  const isOne = choice !== 'required';
  const tools = use.tools
    .filter(({ name }) => !isOne || name === choice.name)
    .map(({ name, parameters }) => ({ name, parameters: objectSchema(name, parameters ?? {}) }));
  const calls: ToolCallForm = isTagged(family) ? { kind: 'tagged', ...tagged } : { kind: 'list' };
  const form: ToolCallForm = isOne ? { kind: 'arguments' } : calls;
  return toolCallGrammar(tools, form, use.isParallel ? limit.demandedCallCountMax : 1);
}

/** What may say by itself of what type a value is. */
const shaping = ['anyOf', 'oneOf', 'allOf', '$ref', 'enum', 'const'];

/** Arguments are an object, also where parameters say nothing about it. */
function objectSchema(name: string, parameters: JsonObject): JsonObject {
  const { type } = parameters;
  if (type === undefined) {
    return shaping.some((word) => Object.hasOwn(parameters, word))
      ? parameters
      : { ...parameters, type: 'object' };
  }
  if (type === 'object') return parameters;
  const found = clip(JSON.stringify(type), 100);
  return refuse('tools', `tools: the parameters of "${name}" have type ${found}; wanted "object".`);
}
