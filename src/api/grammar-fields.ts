// The request fields that say what an answer must look like: OpenAI's `response_format`, vLLM's
// `structured_outputs` and its older `guided_…`. At most one may ask for something. Whether that can be
// done is found out later (form.ts).

import * as v from 'valibot';
import type { GrammarSpec } from '../protocol/grammar.ts';
import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';

const { grammarChoiceMax } = limit;
const schemaField = v.union(
  [v.record(v.string(), v.unknown()), v.boolean(), v.string()],
  'Expected a JSON schema, as an object or as text',
);
const choiceField = v.pipe(
  v.array(v.string()),
  v.minLength(1, 'Expected at least one choice'),
  v.maxLength(grammarChoiceMax, `At most ${grammarChoiceMax} choices are accepted`),
);

const responseFormat = v.variant(
  'type',
  [
    v.object({ type: v.literal('text') }),
    v.object({ type: v.literal('json_object') }),
    v.object({
      type: v.literal('json_schema'),
      json_schema: v.object({
        name: v.nullish(v.string()),
        description: v.nullish(v.string()),
        schema: v.nullish(schemaField),
        strict: v.nullish(v.boolean()),
      }),
    }),
  ],
  'Expected type "text", "json_object" or "json_schema"',
);

const flagOff = v.nullish(v.literal(false, 'Only false is supported'));
const structuredOutputs = v.strictObject(
  {
    json: v.nullish(schemaField),
    regex: v.nullish(v.string()),
    choice: v.nullish(choiceField),
    grammar: v.nullish(v.string()),
    json_object: v.nullish(v.boolean()),
    structural_tag: v.optional(v.null('structural_tag is not supported; use grammar')),
    whitespace_pattern: v.optional(v.null('whitespace_pattern is not supported')),
    disable_fallback: flagOff,
    disable_any_whitespace: flagOff,
    disable_additional_properties: flagOff,
  },
  'Only json, json_object, regex, choice and grammar are supported',
);

export const grammarEntries = {
  response_format: v.nullish(responseFormat),
  structured_outputs: v.nullish(structuredOutputs),
  guided_json: v.nullish(schemaField),
  guided_regex: v.nullish(v.string()),
  guided_choice: v.nullish(choiceField),
  guided_grammar: v.nullish(v.string()),
};
const grammarFields = v.object(grammarEntries);
export type GrammarFields = v.InferOutput<typeof grammarFields>;

/** What is asked for, and by which field. */
export type Found = { readonly param: string; readonly spec: GrammarSpec };

/** Null: anything may be answered. */
export function readGrammar(fields: GrammarFields): Found | null {
  const found = [
    ...fromFormat(fields.response_format ?? null),
    ...fromStructured(fields.structured_outputs ?? null),
    ...asked('guided_json', fields.guided_json, schemaSpec),
    ...asked('guided_regex', fields.guided_regex, regexSpec),
    ...asked('guided_choice', fields.guided_choice, choiceSpec),
    ...asked('guided_grammar', fields.guided_grammar, ebnfSpec),
  ];
  const [first, second] = found;
  if (first === undefined) return null;
  if (second !== undefined) {
    const message = `${second.param} and ${first.param} both say what the answer must be; send one of them.`;
    throw new Fault('invalid_request', message, { param: second.param });
  }
  return first;
}

function asked<T>(
  param: string,
  value: T | null | undefined,
  specOf: (value: T) => GrammarSpec,
): Found[] {
  return value === null || value === undefined ? [] : [{ param, spec: specOf(value) }];
}

/** A schema may come as text, which then is the JSON. */
function schemaSpec(schema: v.InferOutput<typeof schemaField>): GrammarSpec {
  return {
    kind: 'json_schema',
    text: typeof schema === 'string' ? schema : JSON.stringify(schema),
  };
}
const regexSpec = (text: string): GrammarSpec => ({ kind: 'regex', text });
const ebnfSpec = (text: string): GrammarSpec => ({ kind: 'ebnf', text });
const choiceSpec = (texts: string[]): GrammarSpec => ({ kind: 'choice', texts });

function fromFormat(format: v.InferOutput<typeof responseFormat> | null): Found[] {
  const param = 'response_format';
  if (format === null || format.type === 'text') return [];
  if (format.type === 'json_object') return [{ param, spec: { kind: 'json_object' } }];
  const { schema } = format.json_schema;
  if (schema !== null && schema !== undefined) return [{ param, spec: schemaSpec(schema) }];
  return [{ param, spec: { kind: 'json_object' } }];
}

function fromStructured(fields: v.InferOutput<typeof structuredOutputs> | null): Found[] {
  if (fields === null) return [];
  const param = 'structured_outputs';
  const found = [
    ...asked(`${param}.json`, fields.json, schemaSpec),
    ...asked(`${param}.regex`, fields.regex, regexSpec),
    ...asked(`${param}.choice`, fields.choice, choiceSpec),
    ...asked(`${param}.grammar`, fields.grammar, ebnfSpec),
    ...asked(`${param}.json_object`, fields.json_object || null, () => ({ kind: 'json_object' })),
  ] satisfies Found[];
  if (found.length > 0) return found;
  const message = `${param} asks for nothing: set one of json, json_object, regex, choice and grammar.`;
  throw new Fault('invalid_request', message, { param });
}
