// Cards of older and newer workers are read, too.

import { expect, test } from 'bun:test';
import * as v from 'valibot';
import { cardSchema } from '../../src/protocol/message.ts';

const card = {
  model: 'llama',
  source: 'tdist/demo',
  modelDigest: 'm',
  textDigest: 't',
  geometry: { layers: 1, kvHeads: 1, headDim: 2, blockTokens: 64 },
  kvDtype: 'float32',
  maxModelLen: 128,
  vocabSize: 300,
  eosIds: [1],
};

test.each([
  ['an older worker says nothing', {}, {}],
  ['a known parser', { toolParser: 'mistral' }, { toolParser: 'mistral' }],
  ['none', { toolParser: null }, { toolParser: null }],
  [
    'a newer worker’s',
    { toolParser: 'x', reasoningParser: 5 },
    { toolParser: null, reasoningParser: null },
  ],
])('%s', (_what, told, read) => {
  expect(v.parse(cardSchema, { ...card, ...told }) as object).toEqual({ ...card, ...read });
});
