// What it costs a gateway to choose workers for a long prompt in a large deployment: hashing the
// prompt, looking its blocks up, pricing every worker and every pair. All on one host, with the whole
// prompt cached everywhere: the most work there can be.

import { idle } from '../plane/in-flight.ts';
import { PromptKeys } from '../plane/prompt-keys.ts';
import { Rates } from '../plane/rates.ts';
import { chooseRoute } from '../plane/router.ts';
import { type Heartbeat, protocolVersion } from '../protocol/message.ts';
import { realClock } from '../std/clock.ts';
import { digest } from '../std/hash.ts';
import { type Summary, summarize } from './statistics.ts';

const promptTokens = 4096;
const workerCount = 64;
const roundCount = 300;
/** Rounds before the measured ones, for the compiler. */
const warmCount = 100;

export function measureRouting(): { tokens: number; workers: number; ms: Summary } {
  const workers = Array.from({ length: workerCount }, (_, index) => heartbeat(index));
  const ids = Array.from({ length: promptTokens }, (_, at) => at % 1000);
  const rates = new Rates(realClock);
  for (const worker of workers) {
    for (const tokens of [100, 300, 1000]) rates.notePrefill(worker, tokens, 5 + tokens / 10);
  }
  const none: ReadonlySet<string> = new Set();
  const held = new Map(
    workers.map(({ worker, card }) => [worker, new Set(new PromptKeys(ids).of(card))]),
  );
  const samples: number[] = [];
  for (let turn = 0; turn < warmCount + roundCount; turn++) {
    const beganMs = performance.now();
    chooseRoute({
      model: 'bench',
      workers,
      promptTokens,
      growthTokens: 100,
      keys: new PromptKeys(ids),
      keysOf: (worker) => held.get(worker) ?? none,
      localPrefillTokens: null,
      excluded: new Set(),
      inFlight: () => idle,
      ageMs: () => 0,
      rates,
      turn,
    });
    if (turn >= warmCount) samples.push(performance.now() - beganMs);
  }
  return { tokens: promptTokens, workers: workerCount, ms: summarize(samples) };
}

function heartbeat(index: number): Heartbeat {
  return {
    v: protocolVersion,
    type: 'heartbeat',
    worker: `worker-${index}`,
    role: index % 2 === 0 ? 'context' : 'generate',
    state: 'ready',
    host: 'host',
    pid: 1,
    build: '0.0.0',
    card: {
      model: 'bench',
      source: 'bench',
      modelDigest: digest('bench'),
      textDigest: digest('text'),
      geometry: { layers: 16, kvHeads: 8, headDim: 64, blockTokens: 64 },
      kvDtype: 'float32',
      maxModelLen: 8192,
      vocabSize: 1000,
      eosIds: [0],
    },
    load: {
      running: 0,
      waiting: 0,
      slots: 32,
      freeTokens: 100_000,
      pendingTokens: 0,
      decoding: 0,
      prefixKeys: [],
    },
  };
}
