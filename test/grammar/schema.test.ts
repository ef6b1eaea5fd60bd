// JSON schema → grammar: what is allowed is valid, in the eyes of a validator that we did not write; what
// cannot be honoured is refused by name.

import { describe, expect, test } from 'bun:test';
import Ajv2020 from 'ajv/dist/2020.js';
import { seededChance } from '../../src/std/prng.ts';
import { judge, refusal, schemaSpec } from './accepts.ts';
import { makeSchema } from './schema-maker.ts';
import { draw, textOf } from './vocabulary-world.ts';

const validator = () => new Ajv2020({ strict: false, validateFormats: false });

test('all that 200 random schemas allow is valid', () => {
  const chance = seededChance(11);
  let whole = 0;
  for (let i = 0; i < 200; i++) {
    const schema = makeSchema(chance);
    const ids = draw(schemaSpec(schema), chance);
    if (ids === null) continue;
    whole++;
    const validate = validator().compile(schema as object);
    const text = textOf(ids);
    const isValid = validate(JSON.parse(text));
    expect({ i, isValid, text, errors: validate.errors }).toEqual({
      i,
      isValid: true,
      text,
      errors: null,
    });
  }
  expect(whole).toBeGreaterThan(150);
}, 60_000);

const person = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    age: { type: 'integer', minimum: 0, maximum: 130 },
    tags: { type: 'array', items: { enum: ['a', 'b'] }, maxItems: 2 },
  },
  required: ['name', 'age'],
};

test.each([
  ['{"name":"Ann","age":7}', 'whole'],
  ['{"name": "Ann", "age": 130, "tags": ["a", "b"]}', 'whole'],
  ['{\n  "name": "ä\\u00e4\\n😀",\n  "age": 0\n}', 'whole'],
  ['{"name":"Ann","age":131}', 'no'],
  ['{"name":"Ann","age":07}', 'no'],
  ['{"age":7,"name":"Ann"}', 'no'],
  ['{"name":"Ann"}', 'no'],
  ['{"name":"Ann","age":7,"tags":["a","a","a"]}', 'no'],
  ['{"name":"Ann","age":7,"more":1}', 'no'],
  ['{"name":"A\u0001', 'no'],
  ['{"name":"\\ud800', 'no'],
  ['{  "name', 'no'],
  ['{"name":"Ann","age":7', 'open'],
] as const)('%s is %s', (text, verdict) => {
  expect(judge(schemaSpec(person), text)).toBe(verdict);
});

describe('numbers', () => {
  const values = [
    '-3',
    '-2.51',
    '-2.5',
    '-2.4',
    '-1',
    '-0.01',
    '0',
    '0.0',
    '0.5',
    '1.249',
    '1.25',
    '1.2501',
    '2',
    '12',
  ];
  const bounds = [
    { minimum: -2.5, maximum: 1.25 },
    { exclusiveMinimum: -2.5, exclusiveMaximum: 1.25 },
    { exclusiveMinimum: 0 },
    { maximum: -2.4 },
    { minimum: 0.5, exclusiveMaximum: 2 },
    { minimum: 1.25, maximum: 1.25 },
    { exclusiveMinimum: 1.2, exclusiveMaximum: 1.26 },
    { minimum: -9007199254740991, maximum: 9007199254740991 },
  ];
  test.each(bounds)('%j', (range) => {
    for (const type of ['number', 'integer'] as const) {
      const schema = { type, ...range };
      if (type === 'integer' && 'minimum' in range && range.minimum === 1.25) continue;
      if (type === 'integer' && 'exclusiveMinimum' in range && range.exclusiveMinimum === 1.2)
        continue;
      const validate = validator().compile(schema);
      for (const value of values.filter((text) => type === 'number' || !text.includes('.'))) {
        const isValid = validate(JSON.parse(value));
        expect([type, value, judge(schemaSpec(schema), value) === 'whole']).toEqual([
          type,
          value,
          isValid,
        ]);
      }
    }
  });
});

test('recursion by reference', () => {
  const tree = {
    $ref: '#/$defs/node',
    $defs: {
      node: {
        type: 'object',
        properties: {
          value: { type: 'integer' },
          next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] },
        },
        required: ['value', 'next'],
      },
    },
  };
  expect(judge(schemaSpec(tree), '{"value":1,"next":{"value":2,"next":null}}')).toBe('whole');
  expect(judge(schemaSpec(tree), '{"value":1,"next":{"value":2}}')).toBe('no');
});

test('a key of additionalProperties is none of the properties', () => {
  const schema = {
    type: 'object',
    properties: { ab: { type: 'integer' }, abc: { type: 'integer' } },
    additionalProperties: { type: 'string' },
  };
  const spec = schemaSpec(schema);
  expect(judge(spec, '{"ab":1,"abd":"x","a":"x","":"y","ä":"z"}')).toBe('whole');
  expect(judge(spec, '{"ab":"x"}')).toBe('no');
  expect(judge(spec, '{"zz":"x","abc":"y"}')).toBe('no');
  expect(judge(spec, '{"abcd":"y"}')).toBe('whole');
});

test.each([
  ['date-time', '2024-02-28T23:59:59Z', '2024-02-30T00:00:00Z'],
  ['uuid', '123e4567-e89b-12d3-a456-426614174000', '123e4567'],
  ['email', 'a.b@example.org', 'a@b'],
  ['ipv4', '10.0.255.1', '10.0.256.1'],
  ['uri', 'https://example.org/a/b', 'example'],
])('format %s', (format, good, bad) => {
  const spec = schemaSpec({ type: 'string', format });
  expect(judge(spec, JSON.stringify(good))).toBe('whole');
  expect(judge(spec, JSON.stringify(bad))).not.toBe('whole');
});

const deep = (levels: number): unknown =>
  levels === 0 ? { type: 'null' } : { type: 'array', items: deep(levels - 1) };

test.each([
  [{ type: 'foo' }, '#: type "foo" is none of'],
  [
    { properties: { a: { type: 'string', contentEncoding: 'x' } } },
    '#/properties/a: the keyword "contentEncoding"',
  ],
  [{ not: {} }, 'the keyword "not" is not supported'],
  [{ $ref: '#/$defs/none' }, 'points to nothing'],
  [{ $ref: 'https://example.org/schema' }, 'leaves the schema'],
  [{ $ref: '#' }, 'nothing can match'],
  [{ anyOf: [{ $ref: '#' }, { type: 'null' }] }, 'begins with itself'],
  [{ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }, 'nothing can match'],
  [deep(40), 'nested deeper than 32'],
  [{ type: 'string', minLength: 3, maxLength: 2 }, 'minLength 3 is more than maxLength 2'],
  [{ type: 'integer', minimum: 3, maximum: 2 }, 'no number lies'],
  [{ type: 'integer', exclusiveMinimum: 1, exclusiveMaximum: 2 }, 'no number lies'],
  [{ type: 'array', minItems: 2, maxItems: 1 }, 'minItems 2 is more'],
  [{ type: 'array', uniqueItems: true }, 'uniqueItems'],
  [{ type: 'number', multipleOf: 0.1 }, 'multipleOf'],
  [{ type: 'string', pattern: '([a-z]{1,1000}){1,1000}' }, 'a repetition counts to 1000000'],
  [{ type: 'string', pattern: '(?=a)' }, 'look-around'],
  [{ type: 'string', pattern: 'a', maxLength: 3 }, 'only one of pattern'],
  [{ type: 'string', format: 'idn-email' }, 'format "idn-email" is not supported'],
  [{ enum: [] }, 'at least one value'],
  [{ type: 'string', enum: [1, 2] }, 'none of the values'],
  [{ enum: Array.from({ length: 10_001 }, (_, i) => i) }, 'enum has 10001 values'],
  [{ enum: ['x'.repeat(70_000)] }, 'at most 65536'],
  [{ allOf: [{ type: 'string' }, { type: 'string' }] }, 'allOf of more than one'],
  [{ oneOf: [{ type: 'string' }, { type: 'string' }] }, 'oneOf is supported only where'],
  [{ anyOf: [{ type: 'string' }], minLength: 1 }, '"minLength" beside "anyOf"'],
  [{ type: 'object', required: ['a'], additionalProperties: false }, '"a" is required and not'],
  [{ type: 'object', uniqueItems: 'yes' }, '#: uniqueItems must be true or false'],
  [{ type: 'array', uniqueItems: 1 }, '#: uniqueItems must be true or false'],
  [{ type: 'object', multipleOf: true }, '#: multipleOf must be a number above 0'],
  [{ type: 'object', items: { bogus: 1 } }, '#/items: the keyword "bogus"'],
  [{ type: 'string', prefixItems: [{ not: {} }] }, '#/prefixItems/0: the keyword "not"'],
  [{ type: 'array', additionalProperties: 1 }, '#/additionalProperties: a schema is an object'],
  [{ type: 'array', properties: { a: { bogus: 1 } } }, '#/properties/a: the keyword "bogus"'],
  [{ type: 'array', required: 'a' }, 'required must be a list of names'],
  [{ type: 'string', minimum: 'abc' }, '#: minimum must be a number'],
  [{ type: 'string', maxItems: -1 }, 'maxItems must be a whole number'],
  [{ type: 'integer', pattern: '(' }, '#: '],
  [{ type: 'integer', format: 3 }, 'format must be text'],
  [{ type: ['string', 'null'], minLength: 1, minProperties: 'x' }, 'minProperties must be'],
  [{ type: 'array', items: deep(40) }, 'nested deeper than 32'],
  [{ type: 'string', items: deep(40) }, 'nested deeper than 32'],
  [false, 'nothing can match'],
  [3, 'a schema is an object'],
])('refused: %j', (schema, message) => {
  expect(refusal(schemaSpec(schema))).toContain(message);
});

test.each([
  [{ type: 'object', uniqueItems: true, multipleOf: 0.5, maxLength: 1 }, '{"ab":1}'],
  [{ type: 'string', minimum: 7, items: { type: 'integer' }, required: ['a'] }, '"abc"'],
  [{ type: 'integer', format: 'int32', pattern: '^x$', minItems: 3, items: false }, '12'],
  [{ type: ['string', 'null'], multipleOf: 3 }, 'null'],
])('a keyword of another type has no effect: %j', (schema, text) => {
  expect(judge(schemaSpec(schema), text)).toBe('whole');
  expect(validator().validate(schema, JSON.parse(text))).toBeTrue();
});

test('a pattern that makes backtracking engines hang is as fast as any', () => {
  const spec = schemaSpec({ type: 'string', pattern: '^(a+)+$' });
  expect(judge(spec, `"${'a'.repeat(2000)}"`)).toBe('whole');
  expect(judge(spec, `"${'a'.repeat(2000)}b"`)).toBe('no');
});
