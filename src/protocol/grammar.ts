// What an answer must be, as a request carries it: the client's own text, read again by whoever uses it
// (grammar/compile.ts).

import * as v from 'valibot';
import { limit } from './limit.ts';

const text = v.pipe(v.string(), v.maxLength(limit.grammarCharsMax));

/** Literal text around the JSON, and how often both may come one after the other. */
const wrapSchema = v.object({
  begin: v.pipe(v.string(), v.maxLength(256)),
  end: v.pipe(v.string(), v.maxLength(256)),
  separator: v.pipe(v.string(), v.maxLength(256)),
  countMax: v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(limit.grammarRepeatMax)),
});

export const grammarSchema = v.variant('kind', [
  /** Any JSON object. */
  v.object({ kind: v.literal('json_object') }),
  /** `text`: the schema's JSON. */
  v.object({ kind: v.literal('json_schema'), text, wrap: v.optional(wrapSchema) }),
  /** The whole answer matches it. */
  v.object({ kind: v.literal('regex'), text }),
  /** Begins at the rule `root`. */
  v.object({ kind: v.literal('ebnf'), text }),
  /** One of these texts. */
  v.object({
    kind: v.literal('choice'),
    texts: v.pipe(v.array(text), v.minLength(1), v.maxLength(limit.grammarChoiceMax)),
  }),
]);
export type GrammarSpec = v.InferOutput<typeof grammarSchema>;
