// Whether the options of a `oneOf` exclude each other. Only then is it the same as `anyOf`, which is what
// a grammar can say.

import { isObject, type Schema, type SchemaObject, typeOf } from './schema-keyword.ts';

/** @param options references resolved. */
export function areDisjoint(options: readonly Schema[]): boolean {
  return options.every((a, i) => options.slice(i + 1).every((b) => exclude(a, b)));
}

function exclude(a: Schema, b: Schema): boolean {
  if (!isObject(a) || !isObject(b)) return false;
  const [typesA, typesB] = [kindsOf(a), kindsOf(b)];
  if (typesA !== null && typesB !== null && !typesA.some((type) => typesB.includes(type)))
    return true;
  const [valuesA, valuesB] = [valuesOf(a), valuesOf(b)];
  if (valuesA !== null && valuesB !== null) return areApart(valuesA, valuesB);
  return isTagged(a, b);
}

/** Types by name, an integer being a number as well. */
function kindsOf(schema: SchemaObject): readonly string[] | null {
  const values = valuesOf(schema);
  if (values !== null) return [...new Set(values.flatMap((value) => typeOf(JSON.parse(value))))];
  const { type } = schema;
  const types = typeof type === 'string' ? [type] : Array.isArray(type) ? type : null;
  return types === null
    ? null
    : types.map((name) => (name === 'integer' ? 'number' : String(name)));
}

/** All values that it allows, as JSON; null where they are not listed. */
function valuesOf(schema: Schema | undefined): readonly string[] | null {
  if (!isObject(schema)) return null;
  if ('const' in schema) return [JSON.stringify(schema['const'])];
  const { enum: values } = schema;
  return Array.isArray(values) ? values.map((value) => JSON.stringify(value)) : null;
}

function areApart(a: readonly string[], b: readonly string[]): boolean {
  return !a.some((value) => b.includes(value));
}

/** A property that both require has different constants. */
function isTagged(a: SchemaObject, b: SchemaObject): boolean {
  const { properties: ofA, required: needA } = a;
  const { properties: ofB, required: needB } = b;
  if (!isObject(ofA) || !isObject(ofB) || !Array.isArray(needA) || !Array.isArray(needB))
    return false;
  return needA.some((name: unknown) => {
    if (typeof name !== 'string' || !needB.includes(name)) return false;
    const [valuesA, valuesB] = [valuesOf(ofA[name] as Schema), valuesOf(ofB[name] as Schema)]; // or not a schema: null
    return valuesA !== null && valuesB !== null && areApart(valuesA, valuesB);
  });
}
