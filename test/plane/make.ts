// Values that these tests build again and again.

import { shmReceive, shmSend } from '../../src/kv/shm-path.ts';
import type { KvPaths } from '../../src/kv/transfer.ts';
import type { Bus } from '../../src/plane/bus.ts';
import { idle } from '../../src/plane/in-flight.ts';
import { PromptKeys } from '../../src/plane/prompt-keys.ts';
import type { RateView } from '../../src/plane/rates.ts';
import type { RouteQuestion } from '../../src/plane/router.ts';
import { createWorkerNode, type WorkerNode } from '../../src/plane/worker.ts';
import type { EnginePort, Load } from '../../src/protocol/engine.ts';
import type { Card, Heartbeat, TokensMessage, WorkerRole } from '../../src/protocol/message.ts';
import { realClock } from '../../src/std/clock.ts';
import { digest } from '../../src/std/hash.ts';
import { silentLog } from '../../src/telemetry/log.ts';

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

/** KV by tickets alone: what a fake engine needs. */
export const ticketsOnly: KvPaths = {
  send: { shm: shmSend, object: shmSend },
  receive: { shm: shmReceive, object: shmReceive },
};

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
    load: load(),
    ...change,
  };
}

export function load(change: Partial<Load> = {}): Heartbeat['load'] {
  return {
    running: 0,
    waiting: 0,
    slots: 8,
    freeTokens: 1000,
    pendingTokens: 0,
    decoding: 0,
    prefixKeys: [],
    ...change,
  };
}

/** 1 ms a token, 2 ms a hand-over, 1 ms of messages for each worker. */
export const plainRates: RateView = {
  prefill: () => ({ base: 0, slope: 1 }),
  transferMs: () => 2,
  hopMs: (route) => (route === 'local' ? 1 : 2),
};

/** A prompt of so many tokens, unlike any other `seed`'s. */
export function promptOf(tokens: number, seed = 0): number[] {
  return Array.from({ length: tokens }, (_, at) => (at * 7 + seed * 13) % 300);
}

/** A question about a prompt that nobody has cached, measured placement, nobody at work. */
export function routeQuestion(promptIds: readonly number[] = promptOf(100)): RouteQuestion {
  return {
    model: 'llama',
    workers: [],
    promptTokens: promptIds.length,
    growthTokens: 16,
    keys: new PromptKeys(promptIds),
    keysOf: () => new Set(),
    localPrefillTokens: null,
    excluded: new Set(),
    inFlight: () => idle,
    ageMs: () => 0,
    rates: plainRates,
    turn: 0,
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

/** A worker on a bus of the test's, in real time. */
export function plainWorker(
  bus: Bus,
  what: { readonly workerId: string; readonly role: WorkerRole; readonly engine: EnginePort },
): WorkerNode {
  return createWorkerNode({
    ...what,
    bus,
    clock: realClock,
    log: silentLog,
    namespace: 'tdist',
    card: card(),
    host: 'host-1',
    pid: 42,
    build: '0.1.0',
    kv: ticketsOnly,
    kvPath: 'auto',
    sees: () => true,
    objects: () => false,
    assets: { tokenizer, tokenizerConfig },
  });
}
