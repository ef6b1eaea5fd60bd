import { expect, test } from 'bun:test';
import { toolCallGrammar } from '../../src/grammar/tool-call.ts';
import { judge } from './accepts.ts';

const tools = [
  {
    name: 'weather',
    parameters: {
      type: 'object',
      properties: { city: { $ref: '#/$defs/city' } },
      required: ['city'],
      $defs: { city: { enum: ['Paris', 'Rome'] } },
    },
  },
  { name: 'now', parameters: null },
];
const weather = '{"name": "weather", "arguments": {"city": "Paris"}}';
const now = '{"name":"now","arguments":{}}';

test('a list of calls, references of parameters moved along', () => {
  const spec = toolCallGrammar(tools, { kind: 'list' }, 2);
  expect(judge(spec, `[${weather}]`)).toBe('whole');
  expect(judge(spec, `[${now}, ${weather}]`)).toBe('whole');
  expect(judge(spec, `[${now}, ${weather}, ${now}]`)).toBe('no');
  expect(judge(spec, '[]')).toBe('no');
  expect(judge(spec, '[{"name":"weather","arguments":{"city":"Oslo"}}]')).toBe('no');
  expect(judge(spec, '[{"name":"none"')).toBe('no');
});

test('the arguments of one tool alone', () => {
  const spec = toolCallGrammar(tools.slice(0, 1), { kind: 'arguments' }, 1);
  expect(judge(spec, '{"city":"Rome"}')).toBe('whole');
  expect(judge(spec, now)).toBe('no');
});

test('calls between tags', () => {
  const tags = { begin: '<tool_call>\n', end: '\n</tool_call>', separator: '\n' };
  const spec = toolCallGrammar(tools, { kind: 'tagged', ...tags }, 2);
  const tagged = (call: string): string => `<tool_call>\n${call}\n</tool_call>`;
  expect(judge(spec, tagged(weather))).toBe('whole');
  expect(judge(spec, `${tagged(weather)}\n${tagged(now)}`)).toBe('whole');
  expect(judge(spec, `${tagged(weather)}${tagged(now)}`)).toBe('no');
  expect(judge(spec, weather)).toBe('no');
});
