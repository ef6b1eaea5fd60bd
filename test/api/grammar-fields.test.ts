// What a client may say about the answer's form → one grammar, or a refusal that names the field.

import { describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { checkForm, inPlaceCheck } from '../../src/api/form.ts';
import { type ChatRequest, readChatRequest } from '../../src/api/intake.ts';
import type { GrammarSpec } from '../../src/protocol/grammar.ts';
import { samplingSchema } from '../../src/protocol/request.ts';
import { Fault } from '../../src/std/fault.ts';
import { seededChance } from '../../src/std/prng.ts';
import { silentLog } from '../../src/telemetry/log.ts';

function read(fields: Readonly<Record<string, unknown>>): ChatRequest {
  const body = { messages: [{ role: 'user', content: 'hi' }], ...fields };
  return readChatRequest(body, { chance: seededChance(1), log: silentLog });
}

const schema = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] };
const text = JSON.stringify(schema);
const named = (more: object) => ({ type: 'json_schema', json_schema: { name: 'x', ...more } });
const ebnf = 'root ::= "a"';

test.each<[Record<string, unknown>, GrammarSpec | null]>([
  [{}, null],
  [{ response_format: null, structured_outputs: null, guided_json: null }, null],
  [{ response_format: { type: 'text' } }, null],
  [{ response_format: { type: 'json_object' } }, { kind: 'json_object' }],
  [{ response_format: named({ schema, strict: true }) }, { kind: 'json_schema', text }],
  [{ response_format: named({}) }, { kind: 'json_object' }],
  [{ guided_json: schema }, { kind: 'json_schema', text }],
  [{ guided_json: text }, { kind: 'json_schema', text }],
  [{ guided_regex: 'a+' }, { kind: 'regex', text: 'a+' }],
  [{ guided_choice: ['a', 'b'] }, { kind: 'choice', texts: ['a', 'b'] }],
  [{ guided_grammar: ebnf }, { kind: 'ebnf', text: ebnf }],
  [{ structured_outputs: { json: schema, regex: null } }, { kind: 'json_schema', text }],
  [{ structured_outputs: { regex: 'a+' } }, { kind: 'regex', text: 'a+' }],
  [{ structured_outputs: { choice: ['a'] } }, { kind: 'choice', texts: ['a'] }],
  [{ structured_outputs: { grammar: ebnf } }, { kind: 'ebnf', text: ebnf }],
  [{ structured_outputs: { json_object: true } }, { kind: 'json_object' }],
  [
    { response_format: { type: 'text' }, guided_regex: 'a' },
    { kind: 'regex', text: 'a' },
  ],
])('%j', (fields, grammar) => {
  const { sampling } = read(fields);
  expect(sampling.grammar).toEqual(grammar);
  expect(v.is(samplingSchema, { ...sampling, seed: 1, badWords: [], maxTokens: 5 })).toBeTrue();
});

const rf = (bad: unknown) => ({ response_format: named({ schema: bad }) });
const demand = (parameters: unknown) => ({
  tools: [{ type: 'function', function: { name: 'f', parameters } }],
  tool_choice: 'required',
});
const deep = (levels: number): unknown =>
  levels === 0 ? { type: 'null' } : { type: 'array', items: deep(levels - 1) };

describe('refused', () => {
  test.each<[Record<string, unknown>, string, string]>([
    [{ response_format: {} }, 'response_format.type', 'Expected type'],
    [{ response_format: { type: 'xml' } }, 'response_format.type', 'Expected type'],
    [{ response_format: { type: 'json_schema' } }, 'response_format.json_schema', ''],
    [{ response_format: { type: 'structural_tag' } }, 'response_format.type', 'Expected type'],
    [{ structured_outputs: {} }, 'structured_outputs', 'asks for nothing'],
    [
      { structured_outputs: { structural_tag: '{}' } },
      'structured_outputs.structural_tag',
      'not supported',
    ],
    [{ structured_outputs: { yaml: 1 } }, 'structured_outputs.yaml', 'Only json'],
    [{ structured_outputs: { regex: 'a', json: {} } }, 'structured_outputs.regex', 'send one'],
    [{ guided_regex: 'a', guided_choice: ['b'] }, 'guided_choice', 'send one'],
    [{ guided_choice: [] }, 'guided_choice', 'at least one'],
    [{ guided_choice: [5] }, 'guided_choice.0', ''],
    [{ guided_regex: '(' }, 'guided_regex', 'expected ")"'],
    [{ guided_regex: '([a-z]{1,1000}){1,1000}' }, 'guided_regex', 'a repetition counts to'],
    [{ guided_grammar: 'root ::= root' }, 'guided_grammar', 'nothing can match'],
    [{ guided_json: '{' }, 'guided_json', 'not valid JSON'],
    [{ guided_json: 5 }, 'guided_json', 'Expected a JSON schema'],
    [rf({ type: 'foo' }), 'response_format', '#: type "foo"'],
    [rf({ properties: { a: { if: {} } } }), 'response_format', '#/properties/a: the keyword "if"'],
    [rf({ $ref: '#/$defs/none' }), 'response_format', 'points to nothing'],
    [rf({ $ref: '#' }), 'response_format', 'nothing can match'],
    [rf(deep(40)), 'response_format', 'nested deeper'],
    [rf({ enum: ['x'.repeat(1_000_000)] }), 'response_format', 'characters'],
    [rf({ type: 'string', minLength: 5, maxLength: 4 }), 'response_format', 'minLength 5'],
    [
      rf({
        properties: Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, {}])),
      }),
      'response_format',
      'characters',
    ],
    [rf({ pattern: '(a{0,90}){0,90}' }), 'response_format', 'a repetition counts to'],
    [demand({ type: 'object', not: {} }), 'tools', 'parameters cannot be demanded: '],
    [{ guided_choice: ['x'.repeat(70_000)] }, 'guided_choice', 'characters'],
    [
      { guided_choice: Array.from({ length: 9000 }, (_, i) => `${i}`.padStart(20, 'ab')) },
      'guided_choice',
      'characters',
    ],
  ])('by name, at once (%#)', async (fields, param, message) => {
    let fault: unknown;
    const beganMs = performance.now();
    try {
      await checkForm(inPlaceCheck, read(fields));
    } catch (thrown) {
      fault = thrown;
    }
    expect(performance.now() - beganMs).toBeLessThan(1000);
    if (!(fault instanceof Fault)) throw new Error('accepted');
    expect([fault.code, fault.param]).toEqual(['invalid_request', param]);
    expect(fault.message).toContain(message);
    expect(fault.message.length).toBeLessThan(700);
  });
});
