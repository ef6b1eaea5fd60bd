// Regular expressions, EBNF and choices: what they allow, and what is refused.

import { describe, expect, test } from 'bun:test';
import { Automaton } from '../../src/grammar/automaton.ts';
import { compileGrammar } from '../../src/grammar/compile.ts';
import { limit } from '../../src/protocol/limit.ts';
import { seededChance } from '../../src/std/prng.ts';
import { judge, refusal } from './accepts.ts';
import { draw, textOf } from './vocabulary-world.ts';

describe('regular expressions', () => {
  const sources = [
    'a{2,4}b?',
    '(\\d{1,3}\\.){3}\\d{1,3}',
    '[^\\x00-\\x7f]{1,3}|x',
    '(a?){3}',
    '(a|ab)(c|bcd)(d*)',
    '(yes|no|maybe)( [a-z]+){0,2}!?',
    '^[\\w.-]+@\\S{2,}$',
    '(?:x|(?<n>yz)){2,}?',
    '[]a]|[^\\]]{2}',
    '\\u00e4\\u{1f600}[\\n\\t]',
  ];
  const texts = [
    'aa',
    'aaab',
    'a',
    'aaaaa',
    '1.22.3.4',
    '1.2',
    'ä€😀',
    'x',
    '',
    'aaa',
    'abcd',
    'abcbcd',
  ];
  const more = [
    'yes',
    'maybe so it!',
    'maybe so it is',
    'a.b@cd',
    'xyz',
    'xyzyzx',
    'ä😀\n',
    'bc',
    'a]',
  ];
  test.each(sources)('%s', (source) => {
    const engine = new RegExp(`^(?:${source.replace('[]a]', '[\\]a]')})$`, 'u');
    for (const text of [...texts, ...more]) {
      const found = judge({ kind: 'regex', text: source }, text) === 'whole';
      if (source.startsWith('[]a]')) continue; // POSIX: "]" first is itself; JavaScript: an empty class
      expect([source, text, found]).toEqual([source, text, engine.test(text)]);
    }
    const drawn = draw({ kind: 'regex', text: source }, seededChance(3));
    if (drawn !== null && !source.startsWith('[]a]')) expect(textOf(drawn)).toMatch(engine);
  });

  test.each([
    ['(', 'expected ")"'],
    [')', 'has no beginning'],
    ['a**', 'two quantifiers'],
    ['*a', 'repeats nothing'],
    ['a{3,2}', 'can never match'],
    ['[z-a]', 'runs backwards'],
    ['[a', 'found the end'],
    ['a\\', 'ends in the middle'],
    ['(a)\\1', '"\\1" is not supported'],
    ['a(?=b)', 'look-around'],
    ['a\\b', '"\\b" is not supported'],
    ['a$b', 'only at the end'],
    ['(^a)', 'only at the beginning'],
    ['\\ud800', 'names no character'],
    ['([a-z]{1,1000}){1,1000}', 'a repetition counts to 1000000'],
    ['a{1,100000}', 'a repetition counts to 100000'],
    ['('.repeat(5000), 'nested too deeply'],
    ['[^\\s\\S]', 'nothing can match'],
    ['x'.repeat(70_000), '70000 characters'],
  ])('refused: %p', (source, message) => {
    expect(refusal({ kind: 'regex', text: source })).toContain(message);
  });
});

describe('EBNF', () => {
  const arithmetic = `# sums
root ::= term (("+" | "-") term)*
term ::= [0-9]{1,3} | "(" root ")" | 'pi'`;
  test.each([
    ['1+2', 'whole'],
    ['(1+(22-pi))-333', 'whole'],
    ['1+', 'open'],
    ['4444', 'no'],
    ['(1))', 'no'],
  ] as const)('%s is %s', (text, verdict) => {
    expect(judge({ kind: 'ebnf', text: arithmetic }, text)).toBe(verdict);
  });

  test('right recursion does not grow', () => {
    const spec = { kind: 'ebnf', text: 'root ::= "a" root | "b"' } as const;
    expect(judge(spec, `${'a'.repeat(5000)}b`)).toBe('whole');
  });

  test.each([
    ['', '"root", where a grammar begins, is missing'],
    ['root ::= a', 'rule a is used and not there'],
    ['root ::= "a" root', 'nothing can match'],
    ['root ::= root "a" | "b"', 'root → root begins with itself'],
    ['root ::= x root | "b"\nx ::= "a"?', 'begins with itself'],
    ['root ::= "a', 'has no end'],
    ['root = "a"', 'expected "name ::="'],
    ['root ::= "a" (=[b])', 'look-ahead'],
    ['root ::= "a"\nroot ::= "b"', 'is there twice'],
    [`root ::= ${'('.repeat(5000)}`, 'nested too deeply'],
    [`root ::= ${'('.repeat(30)}"a"${')+'.repeat(30)}`, 'not refused'],
    [`root ::= ${'('.repeat(30)}"a"${'){2,}'.repeat(30)}`, 'a repetition counts to'],
  ])('refused: %p', (source, message) => {
    expect(refusal({ kind: 'ebnf', text: source })).toContain(message);
  });

  test('what can be read in exponentially many ways ends, by a count of steps', () => {
    const text = 'root ::= "a" root "x" | "a" root "y" | "a" root "z" | "b"';
    const automaton = new Automaton(compileGrammar({ kind: 'ebnf', text }));
    const read = (count: number): void => {
      automaton.allow(limit.grammarStepWork);
      let place = automaton.start;
      for (let i = 0; i < count; i++) place = automaton.after(place, 0x61);
    };
    expect(() => read(5)).not.toThrow();
    expect(() => read(30)).toThrow('less ambiguous');
  });
});

describe('choices', () => {
  const spec = { kind: 'choice', texts: ['red', 'reddish', 'Rot 😀', 'red', ''] } as const;
  test.each([
    ['red', 'whole'],
    ['reddish', 'whole'],
    ['Rot 😀', 'whole'],
    ['', 'whole'],
    ['redd', 'open'],
    ['green', 'no'],
  ] as const)('%p is %s', (text, verdict) => {
    expect(judge({ ...spec, texts: [...spec.texts] }, text)).toBe(verdict);
  });

  test('ten thousand share their beginnings', () => {
    const texts = Array.from({ length: 10_000 }, (_, i) => `n${i}`);
    expect(compileGrammar({ kind: 'choice', texts }).states.length).toBeLessThan(25_000);
    expect(judge({ kind: 'choice', texts }, 'n9999')).toBe('whole');
  });
});
