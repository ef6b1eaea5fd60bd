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
    const choose = 'getter' in schema && schema.type === 'lazy' ? schema.getter : null;
    if (typeof choose !== 'function') return null;
    // Ours choose by what a value is: a list, or something else.
    return { anyOf: [[], ''].map((value) => jsonSchema(choose(value))) };
  },
};

export function jsonSchema(schema: v.GenericSchema): JsonSchema {
  const { $schema: _, ...rest } = toJsonSchema(schema, config);
  return rest;
}
