// The built-in prompts of `tdist verify` as token ids, without a server: what a gateway would make of
// them, for a model whose tokenizer is here. Those with tool calls are left to verify.

import * as v from 'valibot';
import type { Model } from '../../model/folder.ts';
import { TextModel } from '../../text/text-model.ts';
import { fillTo } from '../verify/filler.ts';
import { shapes } from '../verify/shape.ts';

const messagesSchema = v.array(v.looseObject({ role: v.string(), content: v.string() }));

export type Prompt = { readonly name: string; readonly ids: readonly number[] };

/** @param tokensMax prompts that are longer are left out. */
export async function builtInPrompts(model: Model, tokensMax: number): Promise<Prompt[]> {
  const text = new TextModel({
    tokenizer: JSON.parse(decode(model.tokenizer)),
    tokenizerConfig: JSON.parse(decode(model.tokenizerConfig)),
  });
  const idsOf = (body: Readonly<Record<string, unknown>>): number[] => {
    const messages = v.safeParse(messagesSchema, body['messages']);
    if (!messages.success || body['tools'] !== undefined) return [];
    const input = { messages: messages.output, tools: null, addGenerationPrompt: true };
    return text.promptIds(input, Number.POSITIVE_INFINITY);
  };
  const prompts: Prompt[] = [];
  for (const [index, { name, size, body }] of shapes.entries()) {
    if (size !== null && size > tokensMax) continue;
    const filler =
      size === null ? '' : await fillTo(size, index, async (some) => idsOf(body(some)).length);
    const ids = idsOf(body(filler));
    const isNew = !prompts.some((known) => known.ids.join() === ids.join());
    if (ids.length > 0 && ids.length <= tokensMax && isNew) prompts.push({ name, ids });
  }
  return prompts;
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
