// Tokenizers and chat templates of the families of models through our text side against Hugging Face's
// tokenizers and transformers: ids, text, text as it streams, renderings and refusals.

import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { Detokenizer } from '../../../src/text/detokenizer.ts';
import { loadChatTemplate } from '../../../src/text/template.ts';
import { loadTokenizer } from '../../../src/text/tokenizer.ts';

const ids = v.array(v.number());
const messages = v.array(v.looseObject({ role: v.string(), content: v.string() }));
const goldenSchema = v.object({
  texts: v.array(
    v.object({
      text: v.string(),
      ids,
      with_special: ids,
      decoded: v.string(),
      decoded_all: v.string(),
      rendered: v.nullable(v.string()),
    }),
  ),
  chats: v.array(
    v.object({
      messages,
      tools: v.nullable(v.array(v.unknown())),
      add_generation_prompt: v.boolean(),
      /** Null: the template refused. */
      rendered: v.nullable(v.string()),
      ids: v.nullable(ids),
    }),
  ),
});

const families = readdirSync(import.meta.dir, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
  .sort();

test('nine families', () => {
  expect(families.length).toBe(9);
});

describe.each(families)('%s', (family) => {
  const read = (file: string): unknown =>
    JSON.parse(readFileSync(join(import.meta.dir, family, file), 'utf8'));
  const golden = v.parse(goldenSchema, read('golden.json'));
  const tokenizerConfig = read('tokenizer_config.json');
  const tokenizer = loadTokenizer({ tokenizer: read('tokenizer.json'), tokenizerConfig });
  const template = loadChatTemplate(tokenizerConfig);
  const render = (input: Parameters<NonNullable<typeof template>['render']>[0]): string | null => {
    try {
      return template?.render(input) ?? '';
    } catch {
      return null;
    }
  };

  test.each(golden.texts)('ids of text %#', (one) => {
    expect(tokenizer.encode(one.text, { addSpecialTokens: false })).toEqual(one.ids);
    if (one.text === '') return; // nothing is encoded, not even a first token
    expect(tokenizer.encode(one.text, { addSpecialTokens: true })).toEqual(one.with_special);
  });

  test.each(golden.texts)('text of ids %#', (one) => {
    expect(tokenizer.decode(one.ids, { skipSpecial: true })).toBe(one.decoded);
    expect(tokenizer.decode(one.ids, { skipSpecial: false })).toBe(one.decoded_all);
  });

  test.each(golden.texts)('text of ids as they stream %#', (one) => {
    const detokenizer = new Detokenizer(tokenizer, { skipSpecial: true });
    const pieces = one.ids.map((id) => detokenizer.push(id));
    expect(pieces.join('') + detokenizer.flush()).toBe(one.decoded);
  });

  test.each(golden.texts)('a user says text %#', (one) => {
    const said = [{ role: 'user', content: one.text }];
    expect(render({ messages: said, tools: null, addGenerationPrompt: true })).toBe(one.rendered);
  });

  test.each(golden.chats)('conversation %#', (one) => {
    const rendered = render({
      messages: one.messages,
      tools: one.tools,
      addGenerationPrompt: one.add_generation_prompt,
    });
    expect(rendered).toBe(one.rendered);
    const encoded = rendered && tokenizer.encode(rendered, { addSpecialTokens: false });
    expect(encoded).toEqual(one.ids);
  });
});
