// What an answer must be, in a client's words: schema, regular expression, EBNF, choice.

import { parse } from 'valibot';
import { compileGrammar } from '../../src/grammar/compile.ts';
import { type GrammarSpec, grammarSchema } from '../../src/protocol/grammar.ts';
import type { Dice } from './dice.ts';
import { fuzz } from './fuzz.ts';
import { jsonText, spoiled, spoiledText } from './mutate.ts';
import { anyJson, oddText } from './odd.ts';

const schemas: readonly unknown[] = [
  {
    type: 'object',
    properties: {
      a: { type: 'string', minLength: 1, maxLength: 9, pattern: '^[a-z]+$' },
      b: { $ref: '#/$defs/n' },
    },
    required: ['a'],
    additionalProperties: false,
    $defs: { n: { type: 'integer', minimum: -5, maximum: 500 } },
  },
  {
    type: 'array',
    items: { anyOf: [{ type: 'number' }, { enum: ['x', null, 1, true] }] },
    minItems: 1,
    maxItems: 5,
  },
  { oneOf: [{ const: { a: [1] } }, { type: ['string', 'null'], format: 'date-time' }] },
  {
    allOf: [{ type: 'object' }],
    patternProperties: { '^x': { type: 'boolean' } },
    propertyNames: { maxLength: 3 },
  },
  { $ref: '#', title: 't', description: 'd', default: 1 },
  { type: 'number', exclusiveMinimum: 0, multipleOf: 0.5 },
];
const regexes = [
  '^(a|b)*c{2,5}[^x-z]\\d+\\w?$',
  '(?:\\u00e9|[\\s\\S]){0,9}',
  '\\p{L}+',
  '([a-z]+@[a-z]+\\.com)|(?=x)y',
  'a.b|^$',
];
const ebnfs = [
  'root ::= "a" item* ("," item){0,3}\nitem ::= [a-z0-9] | "\\u00e9" | root # x\n',
  'root ::= (x | y)+ \nx ::= "x"?\ny ::= [^"\\\\] x{2,}\n',
];

function spec(dice: Dice): GrammarSpec {
  switch (dice.below(5)) {
    case 0:
      return { kind: 'regex', text: spoiledText(dice, dice.pick(regexes) ?? '') };
    case 1:
      return { kind: 'ebnf', text: spoiledText(dice, dice.pick(ebnfs) ?? '') };
    case 2:
      return {
        kind: 'choice',
        texts: Array.from({ length: 1 + dice.small(10) }, () => oddText(dice)),
      };
    default: {
      const schema = dice.isOneIn(8) ? anyJson(dice) : spoiled(dice, dice.pick(schemas));
      return { kind: 'json_schema', text: jsonText(dice, schema) };
    }
  }
}

fuzz({
  name: 'grammars',
  rounds: 2000,
  make: spec,
  run: (grammar) => compileGrammar(grammar),
  codes: ['invalid_request'],
});

fuzz({
  name: 'grammars of other processes',
  rounds: 500,
  make: (dice) => spoiled(dice, spec(dice)),
  run(value) {
    let grammar: GrammarSpec;
    try {
      grammar = parse(grammarSchema, value);
    } catch {
      return; // the bus refuses it, see bus.test.ts
    }
    compileGrammar(grammar);
  },
  codes: ['invalid_request'],
});
