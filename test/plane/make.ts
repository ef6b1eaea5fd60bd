// Values that these tests build again and again.

import type { Card, Heartbeat, TokensMessage } from '../../src/protocol/message.ts';
import { digest } from '../../src/std/hash.ts';

export const tokenizer = new TextEncoder().encode(JSON.stringify({ model: { vocab: ['é'] } }));
export const tokenizerConfig = new TextEncoder().encode('{"chat_template":"x"}');

export function card(change: Partial<Card> = {}): Card {
  return {
    model: 'llama',
    source: 'tdist/demo',
    modelDigest: digest('model'),
    textDigest: digest(tokenizer, tokenizerConfig),
    geometry: { layers: 2, kvHeads: 2, headDim: 8, blockTokens: 64 },
    kvDtype: 'float32',
    maxModelLen: 4096,
    vocabSize: 300,
    eosIds: [2],
    ...change,
  };
}

export function heartbeat(
  worker: string,
  role: Heartbeat['role'],
  change: Partial<Heartbeat> = {},
): Heartbeat {
  return {
    v: 1,
    type: 'heartbeat',
    worker,
    role,
    state: 'ready',
    host: 'host-1',
    pid: 1,
    build: '0.1.0',
    card: card(),
    load: {
      running: 0,
      waiting: 0,
      slots: 8,
      freeTokens: 1000,
      pendingTokens: 0,
      decoding: 0,
      prefixKeys: [],
    },
    ...change,
  };
}

export function chunk(
  first: number,
  ids: readonly number[],
  change: Partial<TokensMessage> = {},
): TokensMessage {
  return {
    v: 1,
    type: 'tokens',
    requestId: 'r',
    worker: 'g',
    first,
    ids: [...ids],
    finish: null,
    ...change,
  };
}

/** Lets every microtask and already due callback run, without waiting for time. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 3; round++) await new Promise((resolve) => setImmediate(resolve));
}
