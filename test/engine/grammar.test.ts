// A grammar in the engine, on a model without weights whose vocabulary is letters: what is chosen, when
// it ends, who is to blame when it cannot go on.

import { describe, expect, test } from 'bun:test';
import { createScratch } from '../../src/engine/row.ts';
import { sampleToken } from '../../src/engine/sampler.ts';
import { GrammarStore } from '../../src/grammar/store.ts';
import { makeVocabulary } from '../../src/grammar/vocabulary.ts';
import type { GrammarSpec } from '../../src/protocol/grammar.ts';
import type { Sampling } from '../../src/protocol/request.ts';
import { eosIds, greedy, promptOf, Rig, vocabSize } from './rig.ts';

/** 0 and 1 end; 2 is special; 3 … 28 are a … z, 29 … 54 are aa … zz; the rest does not exist. */
const tokens = Array.from({ length: 55 }, (_, id) => {
  if (id < 3) return null;
  const letter = 0x61 + ((id - 3) % 26);
  return Uint8Array.from(id < 29 ? [letter] : [letter, letter]);
});
const textOf = (ids: readonly number[]): string =>
  ids.map((id) => new TextDecoder().decode(tokens[id] ?? new Uint8Array([0x3f]))).join('');

function grammars(): GrammarStore {
  const store = new GrammarStore();
  store.learn(makeVocabulary(tokens));
  return store;
}

const regex = (text: string): Partial<Sampling> => ({ grammar: { kind: 'regex', text } });

function answer(sampling: Partial<Sampling>): { text: string; finish: string | null } {
  const rig = new Rig({ grammars: grammars() });
  rig.generate('r', promptOf(20), sampling);
  rig.settle();
  const { ids, finish } = rig.tokens('r');
  return { text: textOf(ids), finish };
}

describe('an answer with a grammar', () => {
  test('is one of what it allows, and ends by itself', () => {
    expect(answer(regex('(ab|ccd|xx){3}')).text).toMatch(/^(ab|ccd|xx){3}$/);
    expect(answer(regex('(ab|ccd|xx){3}')).finish).toBe('stop');
  });

  test('ends when it is over, whatever ignore_eos and min_tokens say', () => {
    const fields = { ...regex('abc'), ignoreEos: true, minTokens: 8, maxTokens: 8 };
    expect(answer(fields)).toEqual({ text: 'abc', finish: 'stop' });
  });

  test('may not end before', () => {
    const bias: [number, number][] = [
      [0, 100],
      [1, 100],
      [2, 100],
    ];
    const { text, finish } = answer({ ...regex('[a-c]{5}'), logitBias: bias });
    expect([text.length, finish]).toEqual([5, 'stop']);
  });

  test('may end where it is whole, by any of the end tokens, with ignore_eos as well', () => {
    for (const id of eosIds) {
      const fields = { ...regex('[a-c]*'), logitBias: [[id, 100]] as [number, number][] };
      expect(answer(fields)).toEqual({ text: '', finish: 'stop' });
      expect(answer({ ...fields, ignoreEos: true })).toEqual({ text: '', finish: 'stop' });
      expect(answer({ ...fields, minTokens: 3, maxTokens: 4 }).text.length).toBeGreaterThan(2);
    }
  });

  test('never has a special token, nor one that the vocabulary lacks', () => {
    const high = Array.from({ length: vocabSize }, (_, id): [number, number] => [
      id,
      id < 3 || id > 54 ? 100 : 0,
    ]);
    expect(answer({ ...regex('[a-z]{9}'), logitBias: high, maxTokens: 20 }).text).toMatch(
      /^[a-z]{9}$/,
    );
  });

  test('is held to it at every temperature, with every cut', () => {
    for (let seed = 0; seed < 40; seed++) {
      const cut = { topK: seed % 3, topP: seed % 2 === 0 ? 1 : 0.3, minP: (seed % 5) / 5 };
      const { text } = answer({ ...regex('(a|bb|zy){4}'), ...cut, temperature: 2, seed });
      expect(text).toMatch(/^(a|bb|zy){4}$/);
    }
  });

  test('ends by a stop token that is all the grammar allows, min_tokens or not', () => {
    const stopTokenIds = [3, 29];
    const fields = { ...regex('a{6}'), stopTokenIds, minTokens: 8, maxTokens: 8 };
    expect(answer(fields)).toEqual({ text: '', finish: 'stop' });
  });

  test('keeps the logprobs of the model itself', () => {
    const rig = new Rig({ grammars: grammars() });
    rig.generate('free', promptOf(20), { logprobs: 2, maxTokens: 1 });
    rig.generate('held', promptOf(20), { ...regex('q'), logprobs: 2, maxTokens: 1 });
    rig.settle();
    const [free, held] = ['free', 'held'].map((id) => rig.of('tokens', id)[0]?.logprobs?.[0]);
    expect(held?.top).toEqual(free?.top ?? []);
    expect(held?.logprob).toBeLessThan(free?.logprob ?? Number.NaN);
  });
});

test('the grammar decides before top_k and temperature: the best of what is allowed', () => {
  const matcher = grammars().open({ kind: 'regex', text: '[f-k]' });
  const mask = matcher.mask([], 0);
  const choose = (changes: Partial<Sampling>): number => {
    const logits = Float32Array.from({ length: vocabSize }, (_, id) => (id * 37) % 61);
    const sampling = { ...greedy, ...changes };
    const history = { ids: [1], promptLength: 1 };
    const row = { logits, begin: 0, end: vocabSize };
    const allowed = { mask, endIds: [] };
    return sampleToken(row, { sampling, history, banned: [], allowed }, createScratch(vocabSize));
  };
  const ids = [8, 9, 10, 11, 12, 13];
  const best = ids.reduce((a, b) => ((a * 37) % 61 >= (b * 37) % 61 ? a : b));
  expect(choose({})).toBe(best);
  expect(choose({ temperature: 1, topK: 1 })).toBe(best);
  expect(choose({ temperature: 1, topP: 0.01 })).toBe(best);
  expect(choose({ logitBias: [[9, 100]] })).toBe(9);
});

test('an answer that is over at its last token has not been cut', () => {
  expect(answer({ ...regex('b'), maxTokens: 1 })).toEqual({ text: 'b', finish: 'stop' });
});

describe('what cannot be', () => {
  const cases: [GrammarSpec, string][] = [
    [{ kind: 'regex', text: '(' }, 'regular expression'],
    [{ kind: 'json_schema', text: '{"type":"foo"}' }, 'type "foo"'],
    [{ kind: 'json_schema', text: '{' }, 'not valid JSON'],
  ];
  test.each(cases)('is refused: %j', (grammar, message) => {
    const rig = new Rig({ grammars: grammars() });
    rig.generate('r', promptOf(5), { grammar });
    expect(rig.of('refused', 'r')).toMatchObject([{ code: 'invalid_request' }]);
    expect(rig.of('refused', 'r')[0]?.message).toContain(message);
  });

  test('is refused where there are no grammars, or no vocabulary yet', () => {
    const grammar: GrammarSpec = { kind: 'json_object' };
    const without = new Rig();
    without.generate('r', promptOf(5), { grammar });
    expect(without.of('refused', 'r')).toHaveLength(1);
    const early = new Rig({ grammars: new GrammarStore() });
    early.generate('r', promptOf(5), { grammar });
    expect(early.of('refused', 'r')).toMatchObject([{ code: 'engine' }]);
  });

  test('fails its own sequence and nobody beside it', () => {
    const rig = new Rig({ grammars: grammars() });
    rig.generate('stuck', promptOf(9, 1), regex('ab7'));
    rig.generate('ambiguous', promptOf(9, 2), {
      grammar: {
        kind: 'ebnf',
        text: 'root ::= "aa" root "x" | "aa" root "y" | "aa" root "z" | "b"',
      },
      logitBias: [[29, 50]],
      maxTokens: 60,
    });
    rig.generate('free', promptOf(9, 3), { maxTokens: 20 });
    rig.generate('held', promptOf(9, 4), { ...regex('[a-z]{12}'), maxTokens: 20 });
    rig.settle();
    expect(rig.of('tokens', 'stuck').at(-1)?.fault?.message).toContain('no token of this model');
    expect(rig.of('tokens', 'ambiguous').at(-1)?.fault?.message).toContain('less ambiguous');
    expect(rig.tokens('free').finish).not.toBeNull();
    expect(textOf(rig.tokens('held').ids)).toMatch(/^[a-z]{12}$/);
    expect(rig.engine.load()).toMatchObject({ running: 0, waiting: 0 });
  });

  test('a first token from elsewhere that does not fit is told', () => {
    const kvImport = { fetch: () => 0, put: () => 0, bytesOf: () => 0 };
    const rig = new Rig({ grammars: grammars(), kvImport: () => kvImport });
    rig.reserve('r', promptOf(9), regex('[a-c]{3}'));
    rig.settle();
    rig.engine.submit({ type: 'import', requestId: 'r', firstToken: 20, ticket: null });
    rig.settle();
    expect(rig.of('tokens', 'r').at(-1)?.fault?.code).toBe('mismatch');
  });
});

test('a row of nothing but infinities still gives what is allowed', () => {
  const matcher = grammars().open({ kind: 'regex', text: '[x-z]' });
  const mask = matcher.mask([], 0);
  for (const fill of [Number.NEGATIVE_INFINITY, Number.NaN]) {
    const logits = new Float32Array(vocabSize).fill(fill);
    const row = { logits, begin: 0, end: vocabSize };
    const request = {
      sampling: { ...greedy, temperature: 1 },
      history: { ids: [1], promptLength: 1 },
      banned: [],
    };
    const token = sampleToken(
      row,
      { ...request, allowed: { mask, endIds: [] } },
      createScratch(vocabSize),
    );
    expect(token).toBe(26);
  }
});

test('grammars are kept by their text, up to a size', () => {
  const store = new GrammarStore(1);
  store.learn(makeVocabulary(tokens));
  for (const text of ['a', 'b', 'b', 'c']) store.open({ kind: 'regex', text }).mask([], 0);
  expect(store.count).toBe(1);
  const large = grammars();
  for (const text of ['a', 'b', 'b', 'c']) large.open({ kind: 'regex', text }).mask([], 0);
  expect(large.count).toBe(3);
});
