// Which keywords of JSON schema are honoured, which say nothing about a value, and what to say of all
// others.

import { Fault } from '../std/fault.ts';

export type SchemaObject = Readonly<Record<string, unknown>>;
export type Schema = SchemaObject | boolean;

/** Say nothing about which values are right. */
const annotations: ReadonlySet<string> = new Set([
  'title',
  'description',
  'default',
  'example',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  'discriminator',
  '$comment',
  '$schema',
  '$id',
  '$defs',
  'definitions',
]);

export const byType: Readonly<Record<string, readonly string[]>> = {
  object: ['properties', 'required', 'additionalProperties', 'minProperties', 'maxProperties'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems', 'uniqueItems'],
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
  integer: [],
  boolean: [],
  null: [],
};
const typed: ReadonlySet<string> = new Set(Object.values(byType).flat());
/** Each stands alone, `type` perhaps beside it. */
const alone = ['$ref', 'const', 'enum', 'anyOf', 'oneOf', 'allOf'] as const;

export function checkKeywords(schema: SchemaObject, path: string): void {
  const said = Object.keys(schema).filter(
    (word) => !annotations.has(word) && !word.startsWith('x-') && schema[word] !== undefined,
  );
  const main = alone.find((word) => said.includes(word));
  for (const word of said) {
    const isKnown =
      word === 'type' || typed.has(word) || (alone as readonly string[]).includes(word);
    if (!isKnown) throw refuse(path, `the keyword ${JSON.stringify(word)} is not supported`);
    if (main === undefined || word === main) continue;
    const isHarmless = word === 'type' && (main === 'const' || main === 'enum');
    if (!isHarmless)
      throw refuse(path, `${JSON.stringify(word)} beside "${main}" is not supported`);
  }
}

/** The types a value may have; null: any. */
export function typesOf(schema: SchemaObject, path: string): readonly string[] | null {
  const { type } = schema;
  if (type === undefined) {
    const implied = Object.entries(byType).find(([, words]) =>
      words.some((word) => schema[word] !== undefined),
    );
    return implied === undefined ? null : [implied[0]];
  }
  const types: readonly unknown[] = Array.isArray(type) ? type : [type];
  const names = types.filter((name) => typeof name === 'string' && Object.hasOwn(byType, name));
  if (types.length > 0 && names.length === types.length) return names as string[]; // just checked
  const wanted = Object.keys(byType).join(', ');
  throw refuse(path, `type ${JSON.stringify(type).slice(0, 100)} is none of ${wanted}`);
}

/** A value's types. */
export function typeOf(value: unknown): readonly string[] {
  if (value === null) return ['null'];
  if (Array.isArray(value)) return ['array'];
  if (typeof value === 'number')
    return Number.isInteger(value) ? ['number', 'integer'] : ['number'];
  return [typeof value];
}

export function isObject(value: unknown): value is SchemaObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A count such as `minLength`; `otherwise` where it is absent. */
export function countOf(
  schema: SchemaObject,
  word: string,
  { path, otherwise }: { readonly path: string; readonly otherwise: number },
): number {
  const value = schema[word];
  if (value === undefined) return otherwise;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= countMax) {
    return value;
  }
  throw refuse(path, `${word} must be a whole number from 0 to ${countMax}`);
}

/** Larger ones no answer reaches. */
const countMax = 1_000_000;

export function refuse(path: string, what: string): Fault {
  return new Fault('invalid_request', `schema, ${path.slice(0, 200)}: ${what}`);
}
