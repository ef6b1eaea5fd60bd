// A sequence that was begun elsewhere: whatever the request asks for, the tokens from any cut on are those
// of the undisturbed answer, numbered as they would have been, on every way through the engine.

import { describe, expect, test } from 'bun:test';
import { GrammarStore } from '../../src/grammar/store.ts';
import { makeVocabulary } from '../../src/grammar/vocabulary.ts';
import type { Sampling } from '../../src/protocol/request.ts';
import { FakeCache } from './fake-cache.ts';
import { FakeArena, FakeExport, FakeImport, frameOf } from './fake-transfer.ts';
import { eosIds, greedy, promptOf, Rig, vocabSize } from './rig.ts';

const prompt = promptOf(13, 5);
const drawn = { temperature: 1.2, seed: -77, ignoreEos: true, maxTokens: 20 };

/** 3 … 28 are a … z; 0 and 1 end. */
const letters = Array.from({ length: vocabSize }, (_, id) =>
  id < 3 || id > 28 ? null : Uint8Array.of(0x61 + id - 3),
);
function grammars(): GrammarStore {
  const store = new GrammarStore();
  store.learn(makeVocabulary(letters));
  return store;
}

const cases: Readonly<Record<string, Partial<Sampling>>> = {
  greedy: { ignoreEos: true, maxTokens: 20 },
  'until the end token': { maxTokens: 70 },
  drawn,
  'drawn with all cuts': { ...drawn, topK: 9, topP: 0.8, minP: 0.05 },
  penalties: { ...drawn, presencePenalty: 1.5, frequencyPenalty: -0.7, repetitionPenalty: 1.4 },
  'min_tokens over a loud end': {
    maxTokens: 20,
    minTokens: 12,
    logitBias: eosIds.map((id): [number, number] => [id, 100]),
  },
  'a stop token': { ...drawn, maxTokens: 70, stopTokenIds: [7, 30], minTokens: 5 },
  'bad words': { ...drawn, temperature: 0.3, badWords: [[3], [4, 5], [20, 21, 22]] },
  logprobs: { ...drawn, logprobs: 4 },
  "the prompt's logprobs": { ...drawn, promptLogprobs: 2, logprobs: 1 },
  grammar: { ...drawn, grammar: { kind: 'regex', text: '([a-m]{3}(xy|z)){4}' } },
  'grammar that may end': {
    maxTokens: 60,
    minTokens: 8,
    grammar: { kind: 'regex', text: '([a-c]{2}q)*' },
  },
};

type Tokens = ReturnType<typeof answerOf>;

function answerOf(from: number, ...rigs: readonly Rig[]) {
  const events = rigs.flatMap((rig) => rig.of('tokens', 'a'));
  expect(events.flatMap(({ fault }) => fault ?? [])).toEqual([]);
  let next = from;
  for (const { first, ids, scores } of events) {
    if (scores !== undefined) continue;
    expect(first).toBe(next);
    next += ids.length;
  }
  const last = events.at(-1);
  return {
    ids: events.flatMap(({ ids }) => ids),
    logprobs: events.flatMap(({ logprobs }) => logprobs ?? []),
    finish: last?.finish ?? null,
    stopToken: last?.stopToken,
  };
}

function command(sampling: Partial<Sampling>, emittedIds?: readonly number[]) {
  const all = { ...greedy, ...sampling };
  return { requestId: 'a', promptIds: prompt, emittedIds, sampling: all, priority: 0 };
}

function undisturbed(sampling: Partial<Sampling>): Tokens {
  const rig = new Rig({ grammars: grammars() });
  rig.engine.submit({ type: 'generate', source: 'local', ...command(sampling) });
  rig.settle();
  return answerOf(0, rig);
}

type Way = (sampling: Partial<Sampling>, emittedIds: readonly number[]) => Tokens;

const ways: Readonly<Record<string, Way>> = {
  'in its place': (sampling, emittedIds) => {
    const rig = new Rig({ grammars: grammars(), stepTokens: 5 });
    for (let i = 0; i < 2; i++) rig.generate(`other-${i}`, promptOf(4 + i, i), drawn);
    rig.engine.submit({ type: 'generate', source: 'local', ...command(sampling, emittedIds) });
    rig.settle();
    expect(rig.of('tokens', 'a').flatMap(({ scores }) => scores ?? [])).toEqual([]);
    return answerOf(emittedIds.length, rig);
  },
  'with a prefix known': (sampling, emittedIds) => {
    const caches: FakeCache[] = [];
    const rig = new Rig({
      grammars: grammars(),
      kvCache: (runner) => {
        const cache = new FakeCache(runner);
        caches.push(cache);
        return cache;
      },
    });
    // Somebody has said the same before: its blocks are there.
    rig.engine.submit({
      type: 'generate',
      source: 'local',
      requestId: 'before',
      promptIds: [...prompt, ...emittedIds],
      sampling: { ...greedy, maxTokens: 1 },
      priority: 0,
    });
    rig.settle();
    rig.engine.submit({ type: 'generate', source: 'local', ...command(sampling, emittedIds) });
    rig.settle();
    expect(caches[0]?.restoredTokens).toBeGreaterThan(0);
    return answerOf(emittedIds.length, rig);
  },
  'handed over': (sampling, emittedIds) => handOver(sampling, emittedIds, true),
  'handed over block by block': byBlocks,
  'handed over without KV': (sampling, emittedIds) => handOver(sampling, emittedIds, false),
};

function byBlocks(sampling: Partial<Sampling>, emittedIds: readonly number[]): Tokens {
  const generate = new Rig({
    grammars: grammars(),
    kvImport: (runner) => new FakeImport(new FakeArena(), runner),
  });
  const context = new Rig({
    grammars: grammars(),
    kvExport: (runner) => new FakeExport(new FakeArena(), runner),
  });
  const asked = command(sampling, emittedIds);
  context.engine.submit({ type: 'prefill', kvPath: 'object', ...asked });
  context.settle();
  const [prefilled] = context.of('prefilled', 'a');
  if (prefilled === undefined) return answerOf(emittedIds.length, context); // ended by its first token
  generate.engine.submit({ type: 'generate', source: 'handover', ...asked });
  generate.settle();
  const given = [...prompt, ...emittedIds];
  const staged = context.of('staged', 'a').flatMap(({ blocks }) => blocks);
  for (const { firstPosition, count } of staged) {
    const frame = frameOf(given.slice(firstPosition, firstPosition + count));
    generate.engine.submit({ type: 'block', requestId: 'a', frame });
  }
  const { geometry, owner, modelDigest } = prefilled.ticket ?? ticketless();
  const ticket = { kind: 'object', owner, modelDigest, dtype: 'float32', geometry } as const;
  generate.engine.submit({
    type: 'import',
    requestId: 'a',
    firstToken: prefilled.firstToken,
    ticket: { ...ticket, tokens: given.length, blocks: [], exportMs: 1 },
  });
  expect(generate.of('imported', 'a')).toMatchObject([{ path: 'object', refusal: null }]);
  generate.settle();
  return answerOf(emittedIds.length, context, generate);
}

function ticketless(): never {
  throw new Error('a prefill without a ticket');
}

function handOver(
  sampling: Partial<Sampling>,
  emittedIds: readonly number[],
  hasKv: boolean,
): Tokens {
  const arena = new FakeArena();
  if (!hasKv) arena.roomFor = 0;
  const context = new Rig({
    grammars: grammars(),
    stepTokens: 6,
    kvExport: (runner) => new FakeExport(arena, runner),
  });
  const generate = new Rig({
    grammars: grammars(),
    kvImport: (runner) => new FakeImport(arena, runner),
  });
  const asked = command(sampling, emittedIds);
  generate.engine.submit({ type: 'generate', source: 'handover', ...asked });
  generate.settle();
  context.engine.submit({ type: 'prefill', kvPath: 'shm', ...asked });
  context.settle();
  const [prefilled] = context.of('prefilled', 'a');
  if (prefilled === undefined) return answerOf(emittedIds.length, context); // ended by its first token
  const { firstToken, ticket } = prefilled;
  expect(ticket?.tokens).toBe(hasKv ? prompt.length + emittedIds.length : undefined);
  let computedCount = 0;
  generate.runner.onCall = (kind) => {
    if (kind === 'prefill') computedCount++;
  };
  generate.engine.submit({ type: 'import', requestId: 'a', firstToken, ticket });
  generate.settle();
  expect(computedCount > 0).toBe(!hasKv);
  return answerOf(emittedIds.length, context, generate);
}

for (const [way, go] of Object.entries(ways)) {
  describe(way, () => {
    test.each(Object.entries(cases))('%s', (_, sampling) => {
      const whole = undisturbed(sampling);
      expect(whole.ids.length).toBeGreaterThan(5);
      for (let cut = 1; cut < whole.ids.length; cut++) {
        const { ids, logprobs, finish, stopToken } = whole;
        const rest = {
          ids: ids.slice(cut),
          logprobs: logprobs.slice(cut),
          finish,
          stopToken,
        };
        expect({ cut, ...go(sampling, ids.slice(0, cut)) }).toEqual({ cut, ...rest });
      }
    });
  });
}

test('a cut behind the last token: only the end is told', () => {
  const sampling = { maxTokens: 70 };
  const { ids, finish } = undisturbed(sampling);
  expect(finish).toBe('stop');
  const rig = new Rig();
  rig.engine.submit({ type: 'generate', source: 'local', ...command(sampling, ids) });
  rig.settle();
  expect(rig.of('tokens', 'a')).toMatchObject([{ first: ids.length, ids: [], finish: 'stop' }]);
});

test('nothing left to generate, or an id that is none: refused', () => {
  const rig = new Rig();
  rig.engine.submit({ type: 'generate', source: 'local', ...command({ maxTokens: 2 }, [5, 6]) });
  expect(rig.of('refused', 'a')).toMatchObject([{ code: 'invalid_request' }]);
  const other = new Rig();
  other.engine.submit({ type: 'generate', source: 'local', ...command({}, [vocabSize]) });
  expect(other.of('refused', 'a')).toMatchObject([{ code: 'invalid_request' }]);
});

test('the time to compute what is out goes with the first token after it', () => {
  const rig = new Rig();
  const sampling = { ignoreEos: true };
  const { ids } = undisturbed(sampling);
  rig.engine.submit({
    type: 'generate',
    source: 'local',
    ...command(sampling, ids.slice(0, 3)),
  });
  rig.settle();
  const timings = rig.of('tokens', 'a').map(({ timing }) => timing !== undefined);
  expect(timings).toEqual([true, false, false, false, false]);
});
