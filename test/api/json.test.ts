// The strict parser beside JSON.parse: what both take is the same, and ours takes nothing more.

import { describe, expect, test } from 'bun:test';
import { parseJson } from '../../src/api/json.ts';
import { Fault } from '../../src/std/fault.ts';
import { seededChance } from '../../src/std/prng.ts';

const options = { depthMax: 64, exact: new Set(['seed']) };
const parse = (text: string): unknown => parseJson(text, options);
const chance = seededChance(3);
const below = (count: number): number => chance.u32() % count;

const scalars = [
  null,
  true,
  false,
  0,
  -1.5,
  1e21,
  -3e-7,
  '',
  'a"\\/\b\n\u0000é😀',
  '{[,:]}',
  123456789012345,
];

function anyValue(depth: number): unknown {
  const kind = depth === 0 ? 0 : below(4);
  if (kind < 2) return scalars[below(scalars.length)];
  const values = Array.from({ length: below(5) }, () => anyValue(depth - 1));
  if (kind === 2) return values;
  return Object.fromEntries(values.map((value, i) => [`${'k'.repeat(i)}"\\é${i}`, value]));
}

/** As JSON.parse has it; null where it takes no such text. */
function native(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}

function ours(text: string): { readonly value: unknown } | null {
  try {
    return { value: parse(text) };
  } catch (thrown) {
    if (thrown instanceof Fault && thrown.code === 'invalid_request') return null;
    throw thrown;
  }
}

/** By its text: objects without prototype are equal to others. */
const shown = (found: { readonly value: unknown } | null): string => JSON.stringify(found);

describe('parseJson', () => {
  test('every value, however it is spaced', () => {
    for (let round = 0; round < 500; round++) {
      const value = anyValue(4);
      const space = ['', ' ', '\t', '\r\n  '][below(4)] ?? '';
      const text = `${space}${JSON.stringify(value, null, space.replaceAll('\r\n', ' '))}${space}`;
      expect(shown(ours(text))).toBe(shown({ value }));
    }
  });

  test('what is broken by a few characters: taken only as JSON.parse takes it', () => {
    const characters = [
      '"',
      '\\',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '0',
      '-',
      '.',
      'e',
      ' ',
      'u',
      '\n',
    ];
    let taken = 0;
    for (let round = 0; round < 20_000; round++) {
      const text = [...JSON.stringify(anyValue(3))];
      for (let i = below(3) + 1; i > 0; i--) {
        const inserted = characters[below(characters.length)] ?? '';
        text.splice(below(text.length + 1), below(2), inserted);
      }
      const broken = text.join('');
      const found = ours(broken);
      if (found === null) continue;
      taken++;
      expect([broken, shown(found)]).toEqual([broken, shown(native(broken))]);
    }
    expect(taken).toBeGreaterThan(500);
  });

  test('refused though JSON.parse takes them', () => {
    const texts = ['{"a":1,"a":1}', '1e999', '[-1e999]', '"\\ud83d"', '{"\\udc00":1}', '\ufeff1'];
    for (const text of texts) expect([text, ours(text)]).toEqual([text, null]);
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(ours(nested(64))).not.toBeNull();
    expect(ours(nested(65))).toBeNull();
  });

  test('the integers that were asked for keep all digits, others are numbers', () => {
    const big = '9223372036854775807';
    expect(Object(parse(`{"seed":${big}}`)).seed).toBe(2n ** 63n - 1n);
    expect(Object(parse(`{"seed":-${big}}`)).seed).toBe(1n - 2n ** 63n);
    expect(Object(parse('{"seed":5}')).seed).toBe(5);
    expect(Object(parse(`{"a":{"seed":${big}},"top":${big}}`))).toMatchObject({
      a: { seed: 2 ** 63 },
      top: 2 ** 63,
    });
  });

  test('__proto__ is a name like any other', () => {
    const found = Object(parse('{"__proto__":{"n":5},"a":{"__proto__":1}}'));
    expect(Object.keys(found)).toEqual(['__proto__', 'a']);
    expect(found.n).toBeUndefined();
    expect(Object.keys(found.a)).toEqual(['__proto__']);
  });
});
