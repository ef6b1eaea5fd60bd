// The schemas that requests are parsed with, as JSON Schema (2020-12) of what a client may send. Checks
// that JSON Schema cannot say (pairs of fields, well-formed Unicode) are left out.

import { type ConversionConfig, type JsonSchema, toJsonSchema } from '@valibot/to-json-schema';
import type * as v from 'valibot';

export type { JsonSchema };

const config: ConversionConfig = {
  target: 'draft-2020-12',
  typeMode: 'input',
  errorMode: 'ignore',
  overrideSchema: ({ valibotSchema: schema }) => {
    // Seeds have more bits than a number; JSON knows no difference.
    if (schema.type === 'bigint') return { type: 'integer' };
    const choose = 'getter' in schema && schema.type === 'lazy' ? schema.getter : null;
    if (typeof choose !== 'function') return null;
    // Ours choose by what a value is: a list, an object, or something else.
    const chosen = new Set<v.GenericSchema>([[], {}, ''].map((value) => choose(value)));
    const admitting = [...chosen].filter(({ type }) => type !== 'never').map(jsonSchema);
    const [only] = admitting;
    return admitting.length === 1 && only !== undefined ? only : { anyOf: admitting };
  },
};

export function jsonSchema(schema: v.GenericSchema): JsonSchema {
  const { $schema: _, ...rest } = toJsonSchema(schema, config);
  return rest;
}
