// Each type of JSON schema with its keywords → grammar.

import { Fault, toFault } from '../std/fault.ts';
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
import { formats } from './json-format.ts';
import { type Bound, type Bounds, integerBetween, numberBetween } from './json-number.ts';
import {
  comma,
  inString,
  jsonString,
  keyOtherThan,
  list,
  objectRule,
  pair,
  quoted,
  space,
  valueRule,
} from './json-text.ts';
import { parseRegex } from './regex.ts';
import { checkRepeats } from './repeat-check.ts';
import { checkForms } from './schema-idle.ts';
import { countOf, isObject, refuse, type SchemaObject } from './schema-keyword.ts';

export type At = { readonly path: string; readonly depth: number };
export type Convert = {
  readonly value: (schema: unknown, at: At) => Expression;
  /** The expression under a name of its own. */
  readonly named: (expression: Expression) => Expression;
  /** Likewise, made only once under this name. */
  readonly shared: (name: string, make: () => Expression) => Expression;
};

/** Keys that are to differ from all names go along them character by character. */
const keyCharsMax = 256;
const endless = Number.POSITIVE_INFINITY;

export function stringOf(schema: SchemaObject, path: string, convert: Convert): Expression {
  const min = countOf(schema, 'minLength', { path, otherwise: 0 });
  const max = countOf(schema, 'maxLength', { path, otherwise: endless });
  if (min > max) throw refuse(path, `minLength ${min} is more than maxLength ${max}`);
  const { pattern, format } = schema;
  const words = [pattern !== undefined, format !== undefined, min > 0 || max < endless];
  if (words.filter(Boolean).length > 1) {
    throw refuse(
      path,
      'only one of pattern, format and minLength/maxLength is supported at a time',
    );
  }
  if (pattern !== undefined) {
    return convert.shared(`pattern ${pattern}`, () => patterned(pattern, false, path));
  }
  if (format === undefined)
    return min === 0 && max === endless ? rule('string') : jsonString(min, max);
  const known = typeof format === 'string' ? formats.get(format) : undefined;
  if (known !== undefined) {
    return convert.shared(`format ${format}`, () => patterned(known, true, path));
  }
  const wanted = [...formats.keys()].join(', ');
  throw refuse(
    path,
    `format ${JSON.stringify(format).slice(0, 100)} is not supported; ${wanted} are`,
  );
}

function patterned(pattern: unknown, anchored: boolean, path: string): Expression {
  if (typeof pattern !== 'string') throw refuse(path, 'pattern must be text');
  try {
    const expression = parseRegex(pattern, { anchored });
    checkRepeats(expression);
    return quoted(inString(expression));
  } catch (thrown) {
    throw refuse(path, toFault(thrown).message);
  }
}

export function numberOf(type: string, schema: SchemaObject, path: string): Expression {
  checkForms('number', schema, path);
  const { multipleOf } = schema;
  if (multipleOf !== undefined && !(type === 'integer' && multipleOf === 1)) {
    throw refuse(path, 'the keyword "multipleOf" is not supported');
  }
  const bounds = { min: boundOf(schema, 'minimum', path), max: boundOf(schema, 'maximum', path) };
  if (type === 'number' && bounds.min === null && bounds.max === null) return rule('number');
  if (!isPossible(type, bounds)) throw refuse(path, 'no number lies between minimum and maximum');
  try {
    return type === 'integer' ? integerBetween(bounds) : numberBetween(bounds);
  } catch (thrown) {
    if (thrown instanceof Fault) throw refuse(path, thrown.message);
    throw thrown;
  }
}

/** The stricter one of `minimum` and `exclusiveMinimum`. */
function boundOf(schema: SchemaObject, word: 'minimum' | 'maximum', path: string): Bound | null {
  const names = { minimum: 'exclusiveMinimum', maximum: 'exclusiveMaximum' } as const;
  const read = (name: string, isExclusive: boolean): Bound | null => {
    const value = schema[name];
    if (value === undefined) return null;
    if (typeof value === 'number' && Number.isFinite(value)) return { value, isExclusive };
    throw refuse(path, `${name} must be a number`);
  };
  const [closed, open] = [read(word, false), read(names[word], true)];
  if (closed === null || open === null) return closed ?? open;
  const isOpenStricter =
    word === 'minimum' ? open.value >= closed.value : open.value <= closed.value;
  return isOpenStricter ? open : closed;
}

function isPossible(type: string, { min, max }: Bounds): boolean {
  if (min === null || max === null) return true;
  const isOpen = min.isExclusive || max.isExclusive;
  if (type === 'number') return isOpen ? min.value < max.value : min.value <= max.value;
  const lo = min.isExclusive ? Math.floor(min.value) + 1 : Math.ceil(min.value);
  const hi = max.isExclusive ? Math.ceil(max.value) - 1 : Math.floor(max.value);
  return lo <= hi;
}

export function arrayOf(schema: SchemaObject, { path, depth }: At, convert: Convert): Expression {
  const { prefixItems: prefix = [], items = true, uniqueItems } = schema;
  const min = countOf(schema, 'minItems', { path, otherwise: 0 });
  const max = countOf(schema, 'maxItems', { path, otherwise: endless });
  if (min > max) throw refuse(path, `minItems ${min} is more than maxItems ${max}`);
  checkForms('array', schema, path);
  if (uniqueItems === true && max > 1)
    throw refuse(path, 'the keyword "uniqueItems" is not supported');
  if (!Array.isArray(prefix)) throw refuse(path, 'prefixItems must be a list');
  const rest = convert.named(convert.value(items, { path: `${path}/items`, depth }));
  if (prefix.length === 0) return list('[', rest, ']', min, max);
  const firsts = prefix.map((item, i) =>
    convert.named(convert.value(item, { path: `${path}/prefixItems/${i}`, depth })),
  );
  const [lead = nothing, ...others] = firsts.slice(0, max);
  const count = firsts.length;
  const hasRest = items !== false && max > count;
  let tail = hasRest
    ? repeat(sequence(comma, rest), Math.max(0, min - count), max - count)
    : nothing;
  for (let i = others.length; i >= 1; i--) {
    const more = sequence(comma, others[i - 1] ?? nothing, tail);
    tail = min > i ? more : optional(more);
  }
  const filled = sequence(lead, tail, space);
  const body = min > 0 ? filled : max === 0 ? nothing : optional(filled);
  return sequence(text('['), space, body, text(']'));
}

export function objectOf(schema: SchemaObject, { path, depth }: At, convert: Convert): Expression {
  const { properties = {}, required = [], additionalProperties: additional } = schema;
  if (!isObject(properties)) throw refuse(path, 'properties must be an object');
  if (!Array.isArray(required) || required.some((name) => typeof name !== 'string')) {
    throw refuse(path, 'required must be a list of names');
  }
  const needed = new Set<string>(required);
  const others = [...needed].filter((name) => !Object.hasOwn(properties, name));
  if (additional === false && others.length > 0) {
    throw refuse(path, `${JSON.stringify(others[0])} is required and not among the properties`);
  }
  const names = [...Object.keys(properties), ...others];
  const longest = names.reduce((most, name) => Math.max(most, name.length), 0);
  if (additional !== undefined && additional !== false && longest > keyCharsMax) {
    throw refuse(path, `beside additionalProperties, names have at most ${keyCharsMax} characters`);
  }
  const counts = propertyCounts(schema, names, needed, path);
  if (names.length === 0 && additional === undefined && counts === null) return objectRule;
  const extraValue =
    additional === false || (additional === undefined && names.length > 0)
      ? null
      : convert.named(
          convert.value(additional ?? true, { path: `${path}/additionalProperties`, depth }),
        );
  const extra =
    extraValue === null
      ? null
      : pair(names.length === 0 ? rule('string') : keyOtherThan(names), extraValue);
  if (names.length === 0 && extra !== null) {
    return list('{', extra, '}', counts?.min ?? 0, counts?.max ?? endless);
  }
  const members = names.map((name) => {
    const own = Object.hasOwn(properties, name);
    const value = own
      ? convert.value(properties[name], { path: `${path}/properties/${name}`, depth })
      : additional === undefined || additional === true
        ? valueRule
        : (extraValue ?? valueRule);
    const member = convert.named(pair(text(JSON.stringify(name)), value));
    return { member, isNeeded: needed.has(name) };
  });
  return sequence(text('{'), space, inOrder(members, extra, convert), text('}'));
}

/** Counts of members, where the object is nothing but a map; null: none. */
function propertyCounts(
  schema: SchemaObject,
  names: readonly string[],
  needed: ReadonlySet<string>,
  path: string,
): { readonly min: number; readonly max: number } | null {
  const min = countOf(schema, 'minProperties', { path, otherwise: 0 });
  const max = countOf(schema, 'maxProperties', { path, otherwise: endless });
  if (min > max) throw refuse(path, `minProperties ${min} is more than maxProperties ${max}`);
  // Of two members with the same key one counts: only the first is sure to.
  if (names.length === 0 && min <= 1) return min === 0 && max === endless ? null : { min, max };
  if (min > needed.size)
    throw refuse(path, 'this "minProperties" is not supported; list them as required');
  const isClosed =
    schema['additionalProperties'] === undefined || schema['additionalProperties'] === false;
  if (max < names.length || (max < endless && !isClosed)) {
    throw refuse(path, 'the keyword "maxProperties" is not supported beside properties');
  }
  return null;
}

type Member = { readonly member: Expression; readonly isNeeded: boolean };

/** Members in their order, those that are not needed perhaps left out; others at the end. */
function inOrder(
  members: readonly Member[],
  extra: Expression | null,
  convert: Convert,
): Expression {
  const extraName = extra === null ? null : convert.named(extra);
  let more = extraName === null ? nothing : repeat(sequence(comma, extraName), 0, endless);
  /** Ways to begin, last property first. */
  const begins: Expression[] = extraName === null ? [] : [sequence(extraName, more)];
  let canBeEmpty = true;
  for (const { member, isNeeded } of members.toReversed()) {
    if (isNeeded) {
      begins.length = 0;
      canBeEmpty = false;
    }
    begins.push(sequence(member, more));
    const next = sequence(comma, member);
    more = convert.named(sequence(isNeeded ? next : optional(next), more));
  }
  const filled = sequence(choice(...begins.toReversed()), space);
  if (begins.length === 0) return chars([]);
  return canBeEmpty ? optional(filled) : filled;
}
