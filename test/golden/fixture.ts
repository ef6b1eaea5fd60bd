// What make_golden.py wrote: the built-in model's behaviour as transformers computes it in float32.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';

const ids = v.array(v.number());
/** As the gateway's intake hands messages to the template: content is always text. */
const content = v.pipe(
  v.nullish(v.string(), ''),
  v.transform((text) => text ?? ''),
);
const messages = v.array(v.looseObject({ role: v.string(), content }));
const tools = v.nullable(v.array(v.unknown()));

const goldenSchema = v.array(
  v.object({
    name: v.string(),
    messages,
    tools,
    prompt: v.string(),
    input_ids: ids,
    output_ids: ids,
    least_gap: v.number(),
  }),
);
const tokenizerSchema = v.array(v.object({ text: v.string(), ids }));
const templateSchema = v.array(
  v.object({ messages, tools, add_generation_prompt: v.boolean(), rendered: v.string() }),
);

export const golden = v.parse(goldenSchema, readJson('golden.json'));
export const tokenizerCases = v.parse(tokenizerSchema, readJson('tokenizer.json'));
export const templateCases = v.parse(templateSchema, readJson('template.json'));

/** Logits of each prompt's last position, [prompts, vocabSize] row-major float32. */
export const goldenLogits = new Float32Array(
  new Uint8Array(readFileSync(join(import.meta.dir, 'logits.f32'))).buffer,
);

function readJson(name: string): unknown {
  return JSON.parse(readFileSync(join(import.meta.dir, name), 'utf8'));
}
