// Calls of tools as a grammar, for `tool_choice`: the model has to answer with calls of these tools whose
// arguments fit their parameters. Each call is `{"name": …, "arguments": …}`.

import type { GrammarSpec } from '../protocol/grammar.ts';
import { isObject } from './schema-keyword.ts';

export type ToolSchema = {
  readonly name: string;
  /** JSON schema of the arguments; null: any object. */
  readonly parameters: Readonly<Record<string, unknown>> | null;
};

/**
 * - `arguments`: nothing but the arguments of the one tool given (a named `tool_choice`).
 * - `list`: a JSON array of calls (`required`).
 * - `tagged`: calls one after the other, each between these texts, as models write them that were
 *   trained to (`<tool_call>\n` … `\n</tool_call>`); tokens that are not special may be part of them.
 */
export type ToolCallForm =
  | { readonly kind: 'arguments' }
  | { readonly kind: 'list' }
  | {
      readonly kind: 'tagged';
      readonly begin: string;
      readonly end: string;
      readonly separator: string;
    };

/**
 * The grammar of at least one and at most `countMax` calls of the tools. Pass it as `sampling.grammar`,
 * after `compileGrammar`, which throws a Fault where some tool's parameters cannot be honoured.
 * @param tools at least one; names without quotes and backslashes.
 */
export function toolCallGrammar(
  tools: readonly ToolSchema[],
  form: ToolCallForm,
  countMax: number,
): GrammarSpec {
  const [first] = tools;
  if (form.kind === 'arguments') {
    return { kind: 'json_schema', text: JSON.stringify(first?.parameters ?? anyObject) };
  }
  const prefix = form.kind === 'list' ? '#/items' : '#';
  const call = {
    anyOf: tools.map(({ name, parameters }, i) => ({
      type: 'object',
      properties: {
        name: { const: name },
        arguments: moved(parameters ?? anyObject, `${prefix}/anyOf/${i}/properties/arguments`),
      },
      required: ['name', 'arguments'],
    })),
  };
  if (form.kind === 'list') {
    const schema = { type: 'array', items: call, minItems: 1, maxItems: countMax };
    return { kind: 'json_schema', text: JSON.stringify(schema) };
  }
  const { begin, end, separator } = form;
  const wrap = { begin, end, separator, countMax };
  return { kind: 'json_schema', text: JSON.stringify(call), wrap };
}

const anyObject = { type: 'object' };
/** What stands under these is data, however much it looks like a schema. */
const data: ReadonlySet<string> = new Set(['const', 'enum', 'default', 'example', 'examples']);

/** The schema at another place: what it refers to has moved with it. */
function moved(schema: unknown, to: string): unknown {
  if (Array.isArray(schema)) return schema.map((part) => moved(part, to));
  if (!isObject(schema)) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([word, value]) => {
      if (word === '$ref' && typeof value === 'string' && value.startsWith('#')) {
        return [word, `${to}${value.slice(1)}`];
      }
      return [word, data.has(word) ? value : moved(value, to)];
    }),
  );
}
