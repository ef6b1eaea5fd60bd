// The fields of a chat request that mean something here. `null` is the same as absent. Fields that
// are known but not built yet stand in `neutral-field.ts`.

import * as v from 'valibot';
import { limit } from '../protocol/limit.ts';
import { flag, generationEntries, integer } from './generation-fields.ts';
import { templateEntries } from './template-fields.ts';

const tokens = v.pipe(integer, v.minValue(1));

export const chatSchema = v.object({
  ...generationEntries,
  ...templateEntries,
  max_tokens: v.nullish(tokens),
  max_completion_tokens: v.nullish(tokens),
  echo: flag,
  include_reasoning: flag,
  logprobs: flag,
  top_logprobs: v.nullish(v.pipe(integer, v.minValue(0), v.maxValue(limit.topLogprobsMax))),
});
export type ChatFields = v.InferOutput<typeof chatSchema>;
