// Small templates of each family, written after the public ones: what they render, and that they are
// known for what they are.

import { describe, expect, test } from 'bun:test';
import { loadChatTemplate, type TemplateMessage } from '../../../src/text/template.ts';
import { detectReasoningParser, detectToolParser } from '../../../src/text/tool/detect.ts';
import { families } from './families.ts';

const tool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } } },
  },
};
const messages: readonly TemplateMessage[] = [
  { role: 'user', content: 'Weather in Paris?' },
  {
    role: 'assistant',
    content: null,
    tool_calls: [
      {
        id: 'call12345',
        type: 'function',
        function: { name: 'get_weather', arguments: { city: 'Paris' } },
      },
    ],
  },
  { role: 'tool', content: 'sunny', tool_call_id: 'call12345' },
];

describe.each(Object.entries(families))('%s', (name, { template, rendered }) => {
  const tokens = { bos_token: '<s>', eos_token: '</s>' };

  test('renders tools, a call and its result', () => {
    const compiled = loadChatTemplate({ chat_template: template, ...tokens });
    const text = compiled?.render({ messages, tools: [tool], addGenerationPrompt: true });
    expect(text).toBe(rendered);
  });

  test('is known by its template', () => {
    expect(detectToolParser({ chat_template: template }) as string | null).toBe(name);
  });
});

test('the template for tools counts as well', () => {
  const named = [
    { name: 'default', template: 'D' },
    { name: 'tool_use', template: families.hermes.template },
  ];
  expect(detectToolParser({ chat_template: named })).toBe('hermes');
});

test.each([
  ['no template', undefined],
  ['a template without tools', '{{ messages[0].content }}'],
  ['XML within the marks of Hermes', '<tool_call><function=name><parameter=x>'],
  ['the tag of code alone', '<|python_tag|>'],
])('unknown: %s', (_what, template) => {
  expect(detectToolParser({ chat_template: template })).toBe(null);
});

test('thoughts', () => {
  const qwen = "{{ content.split('</think>')[-1].lstrip('\\n') }}";
  expect(detectReasoningParser({ chat_template: qwen })).toBe('think');
  expect(detectReasoningParser({ chat_template: families.hermes.template })).toBe(null);
});
