// The encoder thread gives the ids that this thread gives; without it the gateway encodes by itself.

import { expect, test } from 'bun:test';
import { limit } from '../../src/protocol/limit.ts';
import { openEncoder } from '../../src/role/encoder.ts';
import { TextModel } from '../../src/text/text-model.ts';
import { tinyAssets } from '../text/tiny-tokenizer.ts';

const input = (content: string) => ({
  messages: [{ role: 'user', content }],
  tools: null,
  addGenerationPrompt: true,
});
const long = input('Ünïcödé 日本語 '.repeat(limit.inlineChars / 8));

test('the same ids, several at once, and again after a stop', async () => {
  const encoder = openEncoder(tinyAssets());
  const texts: number[] = [];
  const counted = {
    ...encoder,
    encode: (text: string) => {
      texts.push(text.length);
      return encoder.encode(text);
    },
  };
  const text = new TextModel(tinyAssets(), counted);
  const wanted = text.promptIds(long, 1e6);
  expect(await Promise.all([long, long].map((each) => text.promptIdsAside(each, 1e6)))).toEqual([
    wanted,
    wanted,
  ]);
  expect(texts).toHaveLength(2);
  await text.promptIdsAside(input('short'), 1e6);
  expect(texts).toHaveLength(2);
  // What is under way when it is stopped is encoded here instead.
  const stopped = text.promptIdsAside(long, 1e6);
  text.stop();
  expect(await stopped).toEqual(wanted);
  expect(await text.promptIdsAside(long, 1e6)).toEqual(wanted);
  text.stop();
});

test('a prompt that cannot fit is refused before any thread', async () => {
  const never = { encode: () => Promise.reject(new Error('asked')), stop: () => undefined };
  const text = new TextModel(tinyAssets(), never);
  await expect(text.promptIdsAside(long, 10)).rejects.toMatchObject({ code: 'context_length' });
});
