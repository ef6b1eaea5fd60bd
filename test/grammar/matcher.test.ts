// The walk over the tree of tokens against the naive way: each token by itself, byte by byte. And what
// is kept between tokens may be lost at any time.

import { expect, test } from 'bun:test';
import { Automaton, dead } from '../../src/grammar/automaton.ts';
import { compileGrammar } from '../../src/grammar/compile.ts';
import { Grammar, Matcher } from '../../src/grammar/matcher.ts';
import type { GrammarSpec } from '../../src/protocol/grammar.ts';
import { seededChance } from '../../src/std/prng.ts';
import { schemaSpec } from './accepts.ts';
import { makeSchema } from './schema-maker.ts';
import { allowedIds, demoTokens, demoVocabulary } from './vocabulary-world.ts';

const chance = seededChance(5);
const long = (n: number): string => `n${'x'.repeat(n)}`;
const specs: GrammarSpec[] = [
  ...Array.from({ length: 6 }, () => schemaSpec(makeSchema(chance))),
  schemaSpec({ type: 'array', items: { type: 'string', minLength: 3, maxLength: 30 } }),
  { kind: 'regex', text: '([a-z]{1,4} ){2,9}(the|of){3}' },
  { kind: 'choice', texts: [long(3), long(30), ' Madagascar', ' Mad'] },
  { kind: 'json_object' },
];

test.each(specs.map((spec, i) => [i, spec] as const))('masks of grammar %i', (_i, spec) => {
  const program = compileGrammar(spec);
  const matcher = new Matcher(new Grammar(program, demoVocabulary));
  const naive = new Automaton(program);
  const afterToken = (place: number, id: number): number => {
    let at = place;
    for (const byte of demoTokens[id] ?? []) if (at !== dead) at = naive.after(at, byte);
    return (demoTokens[id]?.length ?? 0) === 0 ? dead : at;
  };
  const ids: number[] = [];
  let place = naive.start;
  for (let step = 0; step < 25; step++) {
    const mask = matcher.mask(ids, 0);
    const wanted = demoTokens.map((_, id) => id).filter((id) => afterToken(place, id) !== dead);
    expect(allowedIds(mask)).toEqual(wanted);
    expect(mask.mayEnd).toBe(naive.isComplete(place));
    const id = wanted[chance.u32() % wanted.length];
    if (id === undefined) break;
    ids.push(id);
    place = afterToken(place, id);
  }
});

test('a matcher begun in the middle, and one whose grammar was emptied, agree with the first', () => {
  const grammar = new Grammar(compileGrammar({ kind: 'json_object' }), demoVocabulary);
  const first = new Matcher(grammar);
  const kept = new Matcher(grammar);
  const prompt = [9, 8, 7];
  const ids = [...prompt];
  for (let step = 0; step < 60; step++) {
    const allowed = allowedIds(first.mask(ids, prompt.length));
    expect(allowedIds(new Matcher(grammar).mask(ids, prompt.length))).toEqual(allowed);
    if (step % 7 === 0) grammar.trim(0);
    expect(allowedIds(kept.mask(ids, prompt.length))).toEqual(allowed);
    const id = allowed[chance.u32() % allowed.length];
    if (id === undefined) break;
    ids.push(id);
  }
  expect(ids.length).toBeGreaterThan(5);
});

test('a token that does not fit is no silent end', () => {
  const matcher = new Matcher(new Grammar(compileGrammar({ kind: 'json_object' }), demoVocabulary));
  const special = 1;
  expect(() => matcher.mask([special], 0)).toThrow('does not fit');
});
