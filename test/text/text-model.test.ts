import { describe, expect, test } from 'bun:test';
import type { ServedModel } from '../../src/protocol/request.ts';
import { TextModel, TextModelCache } from '../../src/text/text-model.ts';
import { bytesOf, imEndId, imStartId, tinyAssets } from './tiny-tokenizer.ts';

const input = {
  messages: [{ role: 'user', content: 'hi' }],
  tools: null,
  addGenerationPrompt: true,
};

function served(textDigest: string): ServedModel {
  return { name: 'llama', maxModelLen: 128, vocabSize: 300, textDigest, createdS: 0 };
}

describe('TextModel', () => {
  test('a chat becomes ids, special tokens as single ids and not doubled', () => {
    expect(new TextModel(tinyAssets()).promptIds(input, 100)).toEqual([
      imStartId,
      ...bytesOf('user\nhi'),
      imEndId,
      ...bytesOf('\n'),
      imStartId,
      ...bytesOf('assistant\n'),
    ]);
  });

  test('a hopelessly long prompt is refused by its characters', () => {
    const messages = [{ role: 'user', content: 'x'.repeat(5000) }];
    expect(() => new TextModel(tinyAssets()).promptIds({ ...input, messages }, 100)).toThrow(
      'context length is 100',
    );
  });

  test('a model without a chat template says so', () => {
    expect(() => new TextModel(tinyAssets(null)).promptIds(input, 100)).toThrow('chat template');
  });
});

describe('TextModelCache', () => {
  test('one load for concurrent callers, kept by digest', async () => {
    let loadCount = 0;
    const cache = new TextModelCache(async () => {
      loadCount++;
      return tinyAssets();
    });
    const [a, b] = await Promise.all([cache.get(served('1')), cache.get(served('1'))]);
    expect(a).toBe(b);
    expect(await cache.get(served('1'))).toBe(a);
    expect(loadCount).toBe(1);
  });

  test('forgets the least recently used', async () => {
    const loads: string[] = [];
    const cache = new TextModelCache(
      async (model) => {
        loads.push(model.textDigest);
        return tinyAssets();
      },
      { countMax: 2 },
    );
    for (const digest of ['1', '2', '1', '3', '1', '2']) await cache.get(served(digest));
    expect(loads).toEqual(['1', '2', '3', '2']);
  });

  test('a failed load is tried again', async () => {
    let loadCount = 0;
    const cache = new TextModelCache(async () => {
      if (loadCount++ === 0) throw new Error('no worker answered');
      return tinyAssets();
    });
    await expect(cache.get(served('1'))).rejects.toThrow('no worker answered');
    expect(await cache.get(served('1'))).toBeInstanceOf(TextModel);
    expect(loadCount).toBe(2);
  });
});
