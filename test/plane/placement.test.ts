// Costs of a worker or a pair, and the choice between computing a prompt at the one or the other:
// tables of situations. 1 ms a token, 2 ms a hand-over, unless a line says otherwise.

import { describe, expect, test } from 'bun:test';
import {
  aloneMs,
  type Candidate,
  computeMs,
  kvBytesOf,
  pairMs,
  queueMs,
  seatMs,
  stallMs,
} from '../../src/plane/cost.ts';
import { idle } from '../../src/plane/in-flight.ts';
import { type Estimate, placePrompt } from '../../src/plane/placement.ts';
import { chooseRoute, type RouteQuestion } from '../../src/plane/router.ts';
import type { Load } from '../../src/protocol/engine.ts';
import { limit } from '../../src/protocol/limit.ts';
import { card, heartbeat, load, plainRates, promptOf, routeQuestion } from './make.ts';

function candidate(change: Partial<Candidate> = {}, loaded: Partial<Load> = {}): Candidate {
  return {
    heartbeat: heartbeat('g', 'generate', { load: load(loaded) }),
    own: idle,
    ageMs: 0,
    speed: { base: 0, slope: 1 },
    promptTokens: 100,
    cachedTokens: 0,
    ownCachedTokens: 0,
    ...change,
  };
}

describe('cost', () => {
  test('the queue: what was told less what was done since, and what was sent since', () => {
    expect(queueMs(candidate({}, { pendingTokens: 500 }))).toBe(500);
    expect(queueMs(candidate({ ageMs: 200 }, { pendingTokens: 500 }))).toBe(300);
    expect(queueMs(candidate({ ageMs: 900 }, { pendingTokens: 500 }))).toBe(0);
    const own = { ...idle, count: 2, prefillTokens: 70 };
    expect(queueMs(candidate({ ageMs: 900, own }, { pendingTokens: 500 }))).toBe(70);
    const context = heartbeat('c', 'context', { load: load({ waiting: 3 }) });
    const speed = { base: 10, slope: 1 };
    expect(queueMs(candidate({ heartbeat: context, own, speed }))).toBe(30 + 70 + 20);
  });

  test('computing: only what is not cached; another’s cache costs a little', () => {
    const speed = { base: 5, slope: 2 };
    expect(computeMs(candidate({ speed }))).toBe(205);
    expect(computeMs(candidate({ speed, cachedTokens: 64, ownCachedTokens: 64 }))).toBe(5 + 72);
    expect(computeMs(candidate({ speed, cachedTokens: 64 }))).toBeCloseTo(5 + 72 + 6.4);
  });

  test('a seat: streams, then waiting for one, then no room at all', () => {
    expect(seatMs(candidate({}, { running: 2, waiting: 1 }), 100)).toBe(3 * limit.streamMs);
    const own = { ...idle, count: 4, endedCount: 2, kvTokens: 850 };
    expect(seatMs(candidate({ own }, { running: 3 }), 100)).toBe(5 * limit.streamMs);
    const full = candidate({}, { running: 8, waiting: 1 });
    expect(seatMs(full, 100)).toBe(9 * limit.streamMs + 2 * limit.slotWaitMs);
    expect(seatMs(candidate({ own }, {}), 200)).toBeGreaterThan(1e6);
  });

  test('a stall: all who decode there, also those on their way', () => {
    expect(stallMs(candidate({}, { decoding: 4 }), 10)).toBe(40);
    const own = { ...idle, count: 1, endedCount: 3 };
    expect(stallMs(candidate({ own }, { decoding: 4 }), 10)).toBe(20);
    expect(stallMs(candidate({ own }, { decoding: 1 }), 10)).toBe(10);
  });

  test('a long prompt alone counts a stream that is not there yet, a pair does not', () => {
    const ms = 100 + limit.stallGraceMs;
    const long = candidate({ promptTokens: ms });
    expect(aloneMs(long, 10)).toBe(ms + 100);
    const pair = { context: long, generate: candidate({}, { decoding: 2 }) };
    expect(pairMs(pair, { transferMs: 3, kvTokens: 10 })).toBe(ms + 3 + 6);
  });

  test('bytes of KV', () => {
    expect(kvBytesOf(heartbeat('c', 'context'), 10)).toBe(10 * 2 * 2 * 2 * 8 * 4);
    const bytesOf = (kvDtype: string, tokens: number): number =>
      kvBytesOf(heartbeat('c', 'context', { card: card({ kvDtype }) }), tokens);
    expect(bytesOf('float16', 10)).toBe(10 * 2 * 2 * 2 * 8 * 2);
    // Blocks of 64: two of them, each with a scale for 2 layers × K, V × 2 heads.
    expect(bytesOf('fp8', 70)).toBe(70 * 2 * 2 * 2 * 8 + 2 * 8 * 4);
    expect(bytesOf('of another version', 10)).toBe(10 * 2 * 2 * 2 * 8 * 4);
  });
});

describe('placement', () => {
  const estimate = (disaggregatedMs: number, localMs: number, more: Partial<Estimate> = {}) => {
    const uncached = { uncachedDisaggregatedMs: disaggregatedMs, uncachedLocalMs: localMs };
    return () => ({ disaggregatedMs, localMs, ...uncached, ...more });
  };
  const never = () => {
    throw new Error('not needed');
  };
  const place = (...args: Parameters<typeof placePrompt>) => {
    const { route, reason } = placePrompt(...args);
    return `${route} ${reason}`;
  };

  test('0 forces', () => {
    expect(place(0, { tokens: 1, cachedTokens: 0 }, never)).toBe('disaggregated forced');
    expect(place(0, { tokens: 99, cachedTokens: 98 }, never)).toBe('disaggregated forced');
  });

  test('a threshold looks at what is not cached', () => {
    expect(place(50, { tokens: 49, cachedTokens: 0 }, never)).toBe('local threshold');
    expect(place(50, { tokens: 50, cachedTokens: 0 }, never)).toBe('disaggregated threshold');
    expect(place(50, { tokens: 100, cachedTokens: 64 }, never)).toBe('local cached');
    expect(place(50, { tokens: 164, cachedTokens: 64 }, never)).toBe('disaggregated threshold');
  });

  test('measured takes the cheaper', () => {
    const prompt = { tokens: 100, cachedTokens: 64 };
    expect(place(null, prompt, estimate(10, 11))).toBe('disaggregated measured');
    expect(place(null, prompt, estimate(11, 10))).toBe('local measured');
    const but = { uncachedDisaggregatedMs: 90, uncachedLocalMs: 91 };
    expect(place(null, prompt, estimate(11, 10, but))).toBe('local cached');
  });
});

describe('measured, by situation', () => {
  type Situation = {
    readonly tokens?: number;
    readonly context?: Partial<Load>;
    readonly generate?: Partial<Load>;
    readonly change?: Partial<RouteQuestion>;
  };
  const decide = ({ tokens = 50, context = {}, generate = {}, change = {} }: Situation) => {
    const workers = [
      heartbeat('c', 'context', { load: load({ freeTokens: 9999, ...context }) }),
      heartbeat('g', 'generate', { load: load({ freeTokens: 9999, ...generate }) }),
    ];
    const choice = chooseRoute({ ...routeQuestion(promptOf(tokens)), workers, ...change });
    return `${choice.route} ${choice.reason}`;
  };
  /** The context worker is ten times as fast. */
  const fastContext = {
    ...plainRates,
    prefill: ({ role }: { role: string }) => ({ base: 0, slope: role === 'context' ? 0.1 : 1 }),
  };
  const slowTransfer = { ...plainRates, transferMs: () => 500 };
  const busy = { ...idle, count: 2 };

  test.each<[string, string, Situation]>([
    ['a short prompt and nobody decodes', 'local measured', {}],
    ['a long prompt', 'disaggregated measured', { tokens: 1000 }],
    ['a short one, but a stream decodes', 'disaggregated measured', { generate: { decoding: 1 } }],
    [
      'a stream of ours that no heartbeat knows yet',
      'disaggregated measured',
      { change: { inFlight: (id) => (id === 'g' ? busy : idle) } },
    ],
    ['a tiny one, streams decode', 'local measured', { tokens: 1, generate: { decoding: 2 } }],
    [
      'the context worker has a queue',
      'local measured',
      { tokens: 1000, context: { pendingTokens: 5000 } },
    ],
    [
      'that queue is done by now',
      'disaggregated measured',
      { tokens: 1000, context: { pendingTokens: 5000 }, change: { ageMs: () => 5000 } },
    ],
    [
      'a queue there, but many streams here',
      'disaggregated measured',
      { tokens: 1000, context: { pendingTokens: 5000 }, generate: { decoding: 8 } },
    ],
    [
      'both have a queue',
      'disaggregated measured',
      { tokens: 1000, context: { pendingTokens: 5000 }, generate: { pendingTokens: 5000 } },
    ],
    ['a faster context worker', 'disaggregated measured', { change: { rates: fastContext } }],
    [
      'moving KV takes longer than computing',
      'local measured',
      { tokens: 300, change: { rates: slowTransfer } },
    ],
    ['0 whatever it costs', 'disaggregated forced', { change: { localPrefillTokens: 0 } }],
    ['a threshold', 'local threshold', { change: { localPrefillTokens: 51 } }],
    [
      'the context worker has refused',
      'local context_refused',
      { tokens: 1000, change: { excluded: new Set(['c']) } },
    ],
  ])('%s: %s', (_what, wanted, situation) => expect(decide(situation)).toBe(wanted));

  test('most of a long prompt is cached', () => {
    const ids = promptOf(1000);
    const question = routeQuestion(ids);
    const workers = ['context', 'generate'].map((role) =>
      heartbeat(role, role === 'context' ? 'context' : 'generate', {
        load: load({ freeTokens: 9999 }),
      }),
    );
    const all = new Set(question.keys.of(heartbeat('c', 'context').card));
    const choice = chooseRoute({ ...question, workers, keysOf: () => all });
    expect(choice).toMatchObject({ route: 'local', reason: 'cached', prefillTokens: 40 });
  });
});
