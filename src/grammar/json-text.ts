// JSON's own grammar, as answers are written: white space is bounded (one space, or a line break with an
// indent), numbers have at most 15 digits before and after the point, and values about which a schema
// says nothing nest 16 levels deep at most, so that no output runs on for ever inside them. Every character of a string is one code point, however it is written.

import { type CharSet, charsOf, complement, has, minus, setOf, union } from './char-set.ts';
import {
  chars,
  choice,
  type Expression,
  nothing,
  optional,
  repeat,
  rule,
  sequence,
  text,
} from './expression.ts';

const endless = Number.POSITIVE_INFINITY;
export const digit = chars([[0x30, 0x39]]);
export const fewDigits = repeat(digit, 0, 15);
const hex = chars(setOf([...charsOf('abcdefABCDEF'), [0x30, 0x39]]));

/** Must be written with a backslash. */
const unsafe: CharSet = union([[0, 0x1f]], charsOf('"\\'));
const plain = complement(unsafe);

/** `\uXXXX` of anything but half a surrogate pair. */
const unicodeEscape = sequence(
  text('\\u'),
  choice(
    sequence(chars(setOf([...charsOf('abcefABCEF'), [0x30, 0x39]])), repeat(hex, 3, 3)),
    sequence(chars(charsOf('dD')), chars([[0x30, 0x37]]), repeat(hex, 2, 2)),
  ),
);
const character = choice(
  chars(plain),
  sequence(text('\\'), chars(charsOf('"\\/bfnrt'))),
  unicodeEscape,
);

/** Levels of a value about which the schema says nothing: an answer must come out of them again. */
const freeDepthMax = 16;
const freeName = (kind: string, depth: number): string => (depth === 0 ? kind : `${kind} ${depth}`);

/** Names of the rules below. */
export const valueRule = rule('value');
export const objectRule = rule('object');
export const space = rule('space');
export const comma = sequence(space, text(','), space);
const colon = sequence(space, text(':'), space);

/** The string, from `min` to `max` code points long. */
export function jsonString(min: number, max: number): Expression {
  return quoted(repeat(character, min, max));
}

export function quoted(body: Expression): Expression {
  return sequence(text('"'), body, text('"'));
}

export function pair(key: Expression, value: Expression): Expression {
  return sequence(key, colon, value);
}

/** `[item, item, …]` with `min` to `max` items. */
export function list(
  open: string,
  item: Expression,
  close: string,
  min = 0,
  max = endless,
): Expression {
  if (max === 0) return sequence(text(open), space, text(close));
  const more = repeat(sequence(comma, item), Math.max(0, min - 1), max - 1);
  const items = sequence(item, more, space);
  return sequence(text(open), space, min === 0 ? optional(items) : items, text(close));
}

const anyNumber = sequence(
  optional(text('-')),
  choice(text('0'), sequence(chars([[0x31, 0x39]]), repeat(digit, 0, 14))),
  optional(sequence(text('.'), repeat(digit, 1, 15))),
  optional(sequence(chars(charsOf('eE')), optional(chars(charsOf('+-'))), repeat(digit, 1, 2))),
);

export const jsonRules: ReadonlyMap<string, Expression> = new Map([
  [
    'space',
    optional(
      choice(
        text(' '),
        sequence(text('\n'), choice(repeat(text(' '), 0, 24), repeat(text('\t'), 1, 8))),
      ),
    ),
  ],
  ['string', jsonString(0, endless)],
  ['number', anyNumber],
  ...Array.from({ length: freeDepthMax }, (_, depth) => freeRules(depth)).flat(),
]);

/** Values of any kind, inside `depth` others: where depth ends, no lists and objects any more. */
function freeRules(depth: number): [string, Expression][] {
  const scalars = [rule('string'), rule('number'), text('true'), text('false'), text('null')];
  if (depth === freeDepthMax - 1) return [[freeName('value', depth), choice(...scalars)]];
  const inner = rule(freeName('value', depth + 1));
  const object = rule(freeName('object', depth));
  const array = rule(freeName('array', depth));
  return [
    [freeName('object', depth), list('{', pair(rule('string'), inner), '}')],
    [freeName('array', depth), list('[', inner, ']')],
    [freeName('value', depth), choice(object, array, ...scalars)],
  ];
}

/** An expression over a string's content, as JSON writes it between quotes. */
export function inString(expression: Expression): Expression {
  switch (expression.kind) {
    case 'text':
      return text(JSON.stringify(expression.text).slice(1, -1));
    case 'chars':
      return charIn(expression.set);
    case 'sequence':
      return { kind: 'sequence', parts: expression.parts.map(inString) };
    case 'choice':
      return { kind: 'choice', options: expression.options.map(inString) };
    case 'repeat':
      return { ...expression, body: inString(expression.body) };
    case 'rule':
      return expression;
  }
}

const shortEscapes: readonly (readonly [string, string])[] = [
  ['"', '\\"'],
  ['\\', '\\\\'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
];

/** Other control characters of the set are left out: no model writes them. */
function charIn(set: CharSet): Expression {
  const escaped = shortEscapes.filter(([char]) => has(set, char.codePointAt(0) ?? 0));
  return choice(chars(minus(set, unsafe)), ...escaped.map(([, written]) => text(written)));
}

/** A key, written without escapes, that is none of `names`. */
export function keyOtherThan(names: readonly string[]): Expression {
  const differs = (suffixes: readonly string[]): Expression => {
    const heads = new Map<string, string[]>();
    for (const suffix of suffixes) {
      const [head] = suffix;
      if (head === undefined) continue;
      const rest = heads.get(head) ?? [];
      rest.push(suffix.slice(head.length));
      heads.set(head, rest);
    }
    const others = minus(plain, charsOf([...heads.keys()].join('')));
    const ended = suffixes.includes('') ? [] : [nothing];
    const known = [...heads].map(([head, rest]) => sequence(text(head), differs(rest)));
    return choice(...ended, sequence(chars(others), repeat(chars(plain), 0, endless)), ...known);
  };
  // A name that needs escapes cannot be met by a key without them.
  const writable = names.filter((name) => JSON.stringify(name).slice(1, -1) === name);
  return quoted(differs(writable));
}
