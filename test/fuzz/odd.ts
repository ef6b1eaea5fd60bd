// Values that decoders trip over: numbers at borders, texts that are not what they seem, names that every
// object of JavaScript has, depth. The generators of texts of special languages are with their tests.

import type { Dice } from './dice.ts';

export const oddNumbers = [
  0,
  -0,
  1,
  -1,
  2,
  0.5,
  255,
  256,
  65_535,
  65_536,
  1e6,
  1e9,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  -(2 ** 53),
  1e15,
  1e21,
  1e100,
  1.7976931348623157e308,
  5e-324,
  1e-40,
  -1e308,
] as const;

/** Of objects' prototypes, and of things that look like promises or JSON. */
export const oddNames = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'valueOf',
  'hasOwnProperty',
  'then',
  'toJSON',
  'length',
  '',
  '0',
  '-1',
  ' ',
  'null',
  'a.b',
  '\u0000',
  '\ud83d\ude00',
] as const;

const oddTexts = [
  '',
  ' ',
  '\u0000',
  '\ufeff',
  '\u202e',
  '\u2028',
  '\ufdd0',
  '\uffff',
  'e\u0301',
  '\ud83d\udc69\u200d\ud83d\udc67',
  'ß',
  'İ',
  '\\',
  '"',
  "'",
  '{',
  '[',
  '</s>',
  '<|im_end|>',
  '<think>',
  '<tool_call>',
  '{{',
  '{%',
  '%{x}',
  '%s',
  '../../etc/passwd',
  '/dev/zero',
  'NaN',
  'Infinity',
  '-0',
  '1e999',
  '0x10',
  'true',
  'null',
  '\r\n',
  '\t',
  '*',
  '>',
  '.',
  '$',
  '(a+)+$',
] as const;

export function oddText(dice: Dice): string {
  switch (dice.below(6)) {
    case 0:
      return dice
        .pick(['a', 'ab ', '\u00e9', '\ud83d\ude00', '\n', '[', '<', '\u0000'])
        .repeat(1 + dice.small(14));
    case 1:
      return String.fromCodePoint(...Array.from({ length: dice.below(12) }, () => codePoint(dice)));
    case 2:
      return dice.pick(oddNames);
    case 3:
      return `${dice.pick(oddTexts)}${dice.pick(oddTexts)}`;
    case 4:
      return String(dice.pick(oddNumbers));
    default:
      return dice.pick(oddTexts);
  }
}

/** No half of a surrogate pair: those are told apart in JSON alone. */
function codePoint(dice: Dice): number {
  const at = dice.pick([
    dice.below(128),
    dice.below(0x800),
    dice.below(0xd800),
    0xe000 + dice.below(0x2000),
    0x10000 + dice.below(0xfffff),
  ]);
  return at;
}

/** Any value that JSON can say, `__proto__` as a name of its own. */
export function anyJson(dice: Dice, depth = 0): unknown {
  switch (dice.below(depth > 4 ? 5 : 8)) {
    case 0:
      return null;
    case 1:
      return dice.isOneIn(2);
    case 2:
      return dice.pick(oddNumbers);
    case 3:
      return dice.small(20) - 3;
    case 4:
      return oddText(dice);
    case 5:
      return Array.from({ length: dice.small(4) }, () => anyJson(dice, depth + 1));
    case 6:
      return nested(dice, 1 + dice.small(12));
    default:
      return Object.fromEntries(
        Array.from({ length: dice.small(3) }, () => [
          dice.pick(oddNames),
          anyJson(dice, depth + 1),
        ]),
      );
  }
}

/** A value so many levels deep. */
export function nested(dice: Dice, depth: number): unknown {
  const isList = dice.isOneIn(2);
  const name = dice.pick(oddNames);
  let value: unknown = dice.pick(oddNumbers);
  for (let level = 0; level < depth; level++) {
    value = isList ? [value] : Object.fromEntries([[name, value]]);
  }
  return value;
}
