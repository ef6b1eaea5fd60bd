// Whether the options of a `oneOf` exclude each other. Only then is it the same as `anyOf`, which is what
// a grammar can say.

import { isObject, type Schema, type SchemaObject, typeOf } from './schema-keyword.ts';

/** What of an option can tell it from another. */
type Option = {
  readonly kinds: ReadonlySet<string> | null;
  readonly values: ReadonlySet<string> | null;
  /** Required properties whose values are listed. */
  readonly tags: ReadonlyMap<string, ReadonlySet<string>>;
};

/** @param options references resolved. */
export function areDisjoint(options: readonly Schema[]): boolean {
  const read = options.map(readOption);
  return read.every((a, i) => read.slice(i + 1).every((b) => exclude(a, b)));
}

function exclude(a: Option, b: Option): boolean {
  if (areApart(a.kinds, b.kinds) || areApart(a.values, b.values)) return true;
  return [...a.tags].some(([name, values]) => areApart(values, b.tags.get(name) ?? null));
}

/** Null: nothing is known. */
function areApart(a: ReadonlySet<string> | null, b: ReadonlySet<string> | null): boolean {
  return a !== null && b !== null && a.isDisjointFrom(b);
}

function readOption(schema: Schema): Option {
  if (!isObject(schema)) return { kinds: null, values: null, tags: new Map() };
  return { kinds: kindsOf(schema), values: valuesOf(schema), tags: tagsOf(schema) };
}

function tagsOf({ type, properties, required }: SchemaObject): Map<string, ReadonlySet<string>> {
  const tags = new Map<string, ReadonlySet<string>>();
  if (type !== 'object' || !isObject(properties) || !Array.isArray(required)) return tags;
  for (const name of required) {
    const values = typeof name === 'string' ? valuesOf(properties[name]) : null;
    if (values !== null) tags.set(name, values);
  }
  return tags;
}

/** Types by name, an integer being a number as well. */
function kindsOf(schema: SchemaObject): ReadonlySet<string> | null {
  const values = valuesOf(schema);
  if (values !== null) {
    return new Set([...values].flatMap((value) => typeOf(JSON.parse(value))));
  }
  const { type } = schema;
  const types = typeof type === 'string' ? [type] : Array.isArray(type) ? type : null;
  if (types === null) return null;
  return new Set(types.map((name) => (name === 'integer' ? 'number' : String(name))));
}

/** All values that it allows, as JSON; null where they are not listed. */
function valuesOf(schema: unknown): ReadonlySet<string> | null {
  if (!isObject(schema)) return null;
  if ('const' in schema) return new Set([JSON.stringify(schema['const'])]);
  const { enum: values } = schema;
  return Array.isArray(values) ? new Set(values.map((value) => JSON.stringify(value))) : null;
}
