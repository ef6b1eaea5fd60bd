// What an answer must be, as a request carries it: the client's own text, read again by whoever uses it
// (grammar/compile.ts).

import * as v from 'valibot';
import { limit } from './limit.ts';

const text = v.pipe(v.string(), v.maxLength(limit.grammarCharsMax));

export const grammarSchema = v.variant('kind', [
  /** Any JSON object. */
  v.object({ kind: v.literal('json_object') }),
  /** `text`: the schema's JSON. */
  v.object({ kind: v.literal('json_schema'), text }),
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
