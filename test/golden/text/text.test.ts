// Tokenizers and chat templates of the families of models through our text side against Hugging Face's
// tokenizers and transformers: ids, text, text as it streams, renderings and refusals.

import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { Detokenizer } from '../../../src/text/detokenizer.ts';
import { loadChatTemplate } from '../../../src/text/template.ts';
import { TextModel } from '../../../src/text/text-model.ts';
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

/** Tokenizers of further kinds, each with what it makes of some texts. */
const oddSchema = v.array(
  v.object({
    tokenizer: v.looseObject({ pre_tokenizer: v.unknown() }),
    texts: v.array(v.object({ text: v.string(), ids })),
  }),
);
const odd = v.parse(oddSchema, JSON.parse(readFileSync(join(import.meta.dir, 'odd.json'), 'utf8')));

test.each(odd)('ids of an odd kind %#', ({ tokenizer, texts }) => {
  const loaded = loadTokenizer({ tokenizer, tokenizerConfig: {} });
  const found = texts.map(({ text }) => loaded.encode(text, { addSpecialTokens: true }));
  expect(found).toEqual(texts.map((one) => one.ids));
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

  test('at least thirty texts', () => {
    expect(golden.texts.length).toBeGreaterThanOrEqual(30);
  });

  const texts = golden.texts.filter((one) => one.rendered !== null);
  const model = new TextModel({ tokenizer: read('tokenizer.json'), tokenizerConfig });
  const said = (content: string): number[] => {
    const messages = [{ role: 'user', content }];
    return model.promptIds({ messages, tools: null, addGenerationPrompt: true }, 1e6);
  };
  const specialsOf = (ids: readonly number[]): number[] =>
    ids.filter((id) => model.tokenizer.specialIds.has(id));
  /** Normalisers and templates change white space and compose characters. */
  const letters = (text: string): string => text.normalize('NFC').replace(/[\s\ufeff▁]/g, '');

  test.each(texts)('special tokens that a user writes stay text %#', (one) => {
    const ids = said(one.text);
    expect(specialsOf(ids)).toEqual(specialsOf(said('x')));
    const text = model.tokenizer.decode(ids, { skipSpecial: false });
    expect(letters(text)).toBe(letters(one.rendered ?? ''));
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
