import { expect, test } from 'bun:test';
import { tokenBytes } from '../../src/text/token-list.ts';

const shown = (tokens: readonly (Uint8Array | null)[]): (string | null)[] =>
  tokens.map((token) => (token === null ? null : Buffer.from(token).toString('latin1')));

test('byte fallback, ▁ as space, special tokens and gaps', () => {
  const tokenizer = {
    model: { vocab: { '<unk>': 0, '<0x0A>': 1, '▁a': 2, ä: 3, '<x>': 6 } },
    added_tokens: [
      { id: 0, content: '<unk>', special: true },
      { id: 5, content: '<tool ▁>', special: false },
      { id: 6, content: '<x>', special: false },
    ],
    decoder: {
      type: 'Sequence',
      decoders: [{ type: 'Replace' }, { type: 'ByteFallback' }, { type: 'Fuse' }],
    },
  };
  const tokenizerConfig = { additional_special_tokens: ['<x>'] };
  const tokens = tokenBytes({ tokenizer, tokenizerConfig });
  expect(shown(tokens)).toEqual([
    null,
    '\n',
    ' a',
    '\u00c3\u00a4',
    null,
    '<tool \u00e2\u0096\u0081>',
    null,
  ]);
});

test('byte level, and a vocabulary that is a list', () => {
  const decoder = { type: 'ByteLevel' };
  const bpe = { model: { vocab: { Ġhi: 0, 'Ã¤': 1 } }, decoder };
  expect(shown(tokenBytes({ tokenizer: bpe, tokenizerConfig: {} }))).toEqual([
    ' hi',
    '\u00c3\u00a4',
  ]);
  const unigram = {
    model: {
      vocab: [
        ['▁x', -1],
        ['y', -2],
      ],
    },
    decoder: { type: 'Metaspace' },
  };
  expect(shown(tokenBytes({ tokenizer: unigram, tokenizerConfig: null }))).toEqual([' x', 'y']);
});
