// The form of each type's keywords. In JSON schema a keyword of another type has no effect: it stands
// idle there, and is held to its form and no more, so that a mistake is named and not passed over.

import { toFault } from '../std/fault.ts';
import { parseRegex } from './regex.ts';
import { byType, countOf, isObject, refuse, type SchemaObject } from './schema-keyword.ts';

/** Types with keywords in the schema that no value here has. */
export function idleTypes(schema: SchemaObject, types: readonly string[]): readonly string[] {
  const own = types.map((type) => (type === 'integer' ? 'number' : type));
  return Object.entries(byType)
    .filter(([type, words]) => !own.includes(type) && words.some((word) => word in schema))
    .map(([type]) => type);
}

/** Throws where a keyword of this type is not what it must be in any schema. */
export function checkForms(type: string, schema: SchemaObject, path: string): void {
  for (const word of byType[type] ?? []) {
    if (schema[word] !== undefined) forms[word]?.(schema, word, path);
  }
}

type Form = (schema: SchemaObject, word: string, path: string) => void;

const wanted =
  (what: string, fits: (value: unknown) => boolean): Form =>
  (schema, word, path) => {
    if (!fits(schema[word])) throw refuse(path, `${word} must be ${what}`);
  };
const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value);
const number = wanted('a number', isNumber);
const count: Form = (schema, word, path) => {
  countOf(schema, word, { path, otherwise: 0 });
};

/** What holds schemas in itself, they are checked as such. */
const forms: Readonly<Record<string, Form>> = {
  properties: wanted('an object', isObject),
  required: wanted(
    'a list of names',
    (value) => Array.isArray(value) && value.every((name) => typeof name === 'string'),
  ),
  minProperties: count,
  maxProperties: count,
  items: (schema, word, path) => {
    if (!Array.isArray(schema[word])) return;
    throw refuse(path, 'a list of "items" is not supported; use prefixItems');
  },
  prefixItems: wanted('a list', Array.isArray),
  minItems: count,
  maxItems: count,
  uniqueItems: wanted('true or false', (value) => typeof value === 'boolean'),
  minLength: count,
  maxLength: count,
  pattern: (schema, word, path) => {
    const pattern = schema[word];
    if (typeof pattern !== 'string') throw refuse(path, 'pattern must be text');
    try {
      parseRegex(pattern, { anchored: false });
    } catch (thrown) {
      throw refuse(path, toFault(thrown).message);
    }
  },
  format: wanted('text', (value) => typeof value === 'string'),
  minimum: number,
  maximum: number,
  exclusiveMinimum: number,
  exclusiveMaximum: number,
  multipleOf: wanted('a number above 0', (value) => isNumber(value) && Number(value) > 0),
};

/** The schemas in keywords of this type, whose forms have been checked. */
export function innerSchemas(
  type: string,
  schema: SchemaObject,
  path: string,
): readonly { readonly schema: unknown; readonly path: string }[] {
  const single = (word: string) =>
    schema[word] === undefined ? [] : [{ schema: schema[word], path: `${path}/${word}` }];
  if (type === 'array') {
    const { prefixItems } = schema;
    const firsts = Array.isArray(prefixItems) ? prefixItems : [];
    const listed = firsts.map((each, i) => ({ schema: each, path: `${path}/prefixItems/${i}` }));
    return [...single('items'), ...listed];
  }
  if (type !== 'object') return [];
  const { properties } = schema;
  const named = Object.entries(isObject(properties) ? properties : {}).map(([name, value]) => ({
    schema: value,
    path: `${path}/properties/${name}`,
  }));
  return [...named, ...single('additionalProperties')];
}
