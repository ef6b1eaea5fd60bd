// Logprobs of prompts, and what else a request may ask of tokens, on an engine with a fake model.

import { describe, expect, test } from 'bun:test';
import { keepRaw, tokenLogprobs } from '../../src/engine/logprob.ts';
import { createScratch } from '../../src/engine/row.ts';
import type { KvExport } from '../../src/kv/transfer.ts';
import type { EngineEvent } from '../../src/protocol/engine.ts';
import type { TokenLogprobs } from '../../src/protocol/request.ts';
import { FakeCache } from './fake-cache.ts';
import { fakeLogits } from './fake-runner.ts';
import { greedy, Rig, vocabSize } from './rig.ts';

const nowhere: KvExport = {
  append: () => [],
  offer: () => null,
  release: () => undefined,
  sweep: () => [],
};

const promptOf = (length: number, salt = 0): number[] =>
  Array.from({ length }, (_, i) => 2 + ((i * 7 + salt * 13) % (vocabSize - 2)));

/** One token at a time, by the model alone. */
function naiveScores(ids: readonly number[], count: number): TokenLogprobs[] {
  const scratch = createScratch(vocabSize);
  return ids.slice(1).map((id, i) => {
    const logits = fakeLogits(ids.slice(0, i + 1), new Float32Array(vocabSize));
    keepRaw({ logits, begin: 0, end: vocabSize }, scratch);
    return tokenLogprobs(id, count, scratch);
  });
}

function scoresOf(events: readonly EngineEvent[], requestId: string): TokenLogprobs[] {
  const list: TokenLogprobs[] = [];
  let isDone = false;
  for (const event of events) {
    if (event.type !== 'tokens' || event.requestId !== requestId) continue;
    if (event.scores !== undefined) {
      expect([isDone, event.ids, event.scores.from]).toEqual([false, [], list.length + 1]);
      list.push(...event.scores.list);
    } else isDone = true;
  }
  return list;
}

function idsOf(events: readonly EngineEvent[], requestId: string): number[] {
  return events.flatMap((event) =>
    event.type === 'tokens' && event.requestId === requestId ? event.ids : [],
  );
}

const run = (rig: Rig): void => {
  while (rig.engine.step());
  expect(rig.runner.violations).toEqual([]);
};

describe('logprobs of a prompt', () => {
  test.each([1, 2, 3, 31, 32, 33, 64, 65, 80])('%i tokens, whatever the chunks', (length) => {
    for (const stepTokens of [3, 8, 256]) {
      const rig = new Rig({ stepTokens });
      rig.generate('a', promptOf(length), { promptLogprobs: 3 });
      run(rig);
      expect(scoresOf(rig.events, 'a')).toEqual(naiveScores(promptOf(length), 3));
    }
  });

  test('among others, who get what they would have got alone', () => {
    const mixed = new Rig({ stepTokens: 16 });
    for (const [i, name] of ['a', 'b', 'c', 'd'].entries()) {
      const asked = i % 2 === 0 ? { promptLogprobs: 1 } : {};
      mixed.generate(name, promptOf(40 + i, i), asked);
    }
    run(mixed);
    for (const [i, name] of ['a', 'b', 'c', 'd'].entries()) {
      const alone = new Rig();
      alone.generate(name, promptOf(40 + i, i));
      run(alone);
      expect(idsOf(mixed.events, name)).toEqual(idsOf(alone.events, name));
      const wanted = i % 2 === 0 ? naiveScores(promptOf(40 + i, i), 1) : [];
      expect(scoresOf(mixed.events, name)).toEqual(wanted);
    }
  });

  test('a prompt whose KV is known is computed all the same, and its KV is left behind', () => {
    const rig = new Rig({ kvCache: (runner) => new FakeCache(runner) });
    rig.generate('first', promptOf(50));
    run(rig);
    rig.generate('a', promptOf(50), { promptLogprobs: 0 });
    run(rig);
    expect(scoresOf(rig.events, 'a')).toEqual(naiveScores(promptOf(50), 0));
    expect(idsOf(rig.events, 'a')).toEqual(idsOf(rig.events, 'first'));
  });

  test('told once, though a preempted prompt is computed again', () => {
    const rig = new Rig({ slots: 2, stepTokens: 8, tokensMax: 300, maxModelLen: 300 });
    rig.generate('old', promptOf(20), { maxTokens: 250, ignoreEos: true });
    rig.generate('new', promptOf(120, 1), { maxTokens: 100, ignoreEos: true, promptLogprobs: 2 });
    run(rig);
    expect(rig.scheduler.preemptionCount).toBeGreaterThan(0);
    expect(scoresOf(rig.events, 'new')).toEqual(naiveScores(promptOf(120, 1), 2));
  });

  test('a context worker refuses: nothing of it would be handed over', () => {
    const rig = new Rig({ kvExport: () => nowhere });
    rig.prefill('a', promptOf(5), { promptLogprobs: 0 });
    expect(rig.events).toMatchObject([
      { type: 'refused', message: expect.stringContaining('logprobs') },
    ]);
  });
});

describe('words and tokens', () => {
  test('of allowed tokens the likeliest is chosen', () => {
    const rig = new Rig();
    rig.generate('a', promptOf(9), { allowedTokenIds: [5, 9, 33], maxTokens: 12 });
    run(rig);
    const ids = idsOf(rig.events, 'a');
    expect(ids).toHaveLength(12);
    expect(ids.every((id) => [5, 9, 33].includes(id))).toBeTrue();
    const logits = fakeLogits(promptOf(9), new Float32Array(vocabSize));
    const best = [5, 9, 33].sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0))[0];
    expect(ids[0]).toBe(best ?? -1);
  });

  test('a bad word is never completed, its beginning may stand', () => {
    const plain = new Rig();
    plain.generate('a', promptOf(9), { maxTokens: 8, ignoreEos: true });
    run(plain);
    const [one = 0, two = 0, three = 0] = idsOf(plain.events, 'a');
    const rig = new Rig();
    const badWords = [
      [one, two, three],
      [promptOf(9).at(-1) ?? 0, one],
    ];
    rig.generate('a', promptOf(9), { maxTokens: 8, ignoreEos: true, badWords });
    run(rig);
    const ids = idsOf(rig.events, 'a');
    // The second word began in the prompt: that does not count.
    expect(ids.slice(0, 2)).toEqual([one, two]);
    expect(ids[2]).not.toBe(three);
    const single = new Rig();
    single.generate('a', promptOf(9), { maxTokens: 8, ignoreEos: true, badWords: [[one]] });
    run(single);
    expect(idsOf(single.events, 'a')).not.toContain(one);
  });
});

describe('requests that share a prompt', () => {
  test('its KV is known to others when its first token is told', () => {
    const found: number[] = [];
    const rig = new Rig({
      kvCache: (runner) => {
        const cache = new FakeCache(runner);
        return {
          restore: (request) => {
            const known = cache.restore(request);
            found.push(known);
            return known;
          },
          keep: (request) => cache.keep(request),
        };
      },
    });
    const command = {
      promptIds: promptOf(50),
      priority: 0,
      source: 'local',
      type: 'generate',
    } as const;
    const sampling = { ...greedy, maxTokens: 30, ignoreEos: true };
    rig.engine.submit({ ...command, requestId: 'a', sampling, shared: true });
    while (idsOf(rig.events, 'a').length === 0) rig.engine.step();
    rig.engine.submit({ ...command, requestId: 'b', sampling });
    run(rig);
    expect(found).toEqual([0, 48]);
    expect(idsOf(rig.events, 'b')).toEqual(idsOf(rig.events, 'a'));
  });
});
