import { describe, expect, test } from 'bun:test';
import { Fault } from '../../src/std/fault.ts';
import { type ChatTemplate, loadChatTemplate } from '../../src/text/template.ts';
import { chatmlTemplate } from './tiny-tokenizer.ts';

const user = { role: 'user', content: 'hi' };
const tool = { type: 'function', function: { name: 'f', parameters: { type: 'object' } } };

function load(chatTemplate: unknown, rest: Record<string, unknown> = {}): ChatTemplate {
  const template = loadChatTemplate({ chat_template: chatTemplate, ...rest });
  if (template === null) throw new Error('no template');
  return template;
}

const input = { messages: [user], tools: null, addGenerationPrompt: true };

describe('ChatTemplate', () => {
  test('renders ChatML with the generation prompt', () => {
    const text = '<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n';
    expect(load(chatmlTemplate).render(input)).toBe(text);
  });

  test('tools reach the template through tojson', () => {
    const text = load(chatmlTemplate).render({ ...input, tools: [tool] });
    expect(text).toContain('"name": "f"');
  });

  test('a list of named templates: default, and tool_use when there are tools', () => {
    const template = load([
      { name: 'tool_use', template: 'T' },
      { name: 'default', template: 'D' },
    ]);
    expect(template.render(input)).toBe('D');
    expect(template.render({ ...input, tools: [tool] })).toBe('T');
  });

  test.each([
    ["'xxabx'.strip('x')", 'ab'],
    ["' ab '.lstrip('a')", ' ab '],
    ["'\\n\\n  ab\\n'.lstrip('\\n')", '  ab\n'],
    ["'ab  \\n'.rstrip('\\n')", 'ab  '],
    ["'abba'.rstrip('ab')", ''],
    ["('x' ~ 'y').lstrip('x').rstrip('y')", ''],
    ["'  ab '.strip()", 'ab'],
    ["'😀a😀b😀😀'.strip('😀x')", 'a😀b'],
    ["'😀😀'.rstrip('😀')", ''],
    ["'a😀'.rstrip('\ude00')", 'a😀'],
    ["'\ufeff ab\ufeff'.strip()", '\ufeff ab\ufeff'],
    ["'\u0085\u001c \ufeffab\u0085' | trim", '\ufeffab'],
    ["('  x' ~ 'y ') | trim('y ') | trim", 'x'],
    ["' a ' | trim | upper | trim", 'A'],
    ["'  ab '.lstrip(none)", 'ab '],
    ["{'strip': 'key'}['strip']", 'key'],
  ])('%s as Python has it', (expression, text) => {
    expect(load(`[{{ ${expression} }}]`).render(input)).toBe(`[${text}]`);
  });

  test('bos and eos tokens, as strings or as objects; absent ones print nothing', () => {
    const template = load('[{{ bos_token }}|{{ eos_token }}|{{ pad_token }}]', {
      bos_token: '<s>',
      eos_token: { content: '</s>', special: true },
    });
    expect(template.render(input)).toBe('[<s>|</s>|]');
  });

  test('strftime_now works', () => {
    expect(load("{{ strftime_now('%Y') }}").render(input)).toMatch(/^\d{4}$/);
  });

  test('raise_exception is the client’s fault, and its message gets through', () => {
    const render = (): string =>
      load("{{ raise_exception('roles must alternate') }}").render(input);
    expect(render).toThrow('roles must alternate');
    try {
      render();
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'invalid_request', param: 'messages' });
    }
  });

  describe('an answer that goes on with the last message', () => {
    const going = (content: string, template: string): string =>
      load(template).render({
        messages: [user, { role: 'assistant', content }],
        tools: null,
        addGenerationPrompt: false,
        continuesFinal: true,
      });
    const trimming = chatmlTemplate.replace("message['content']", "(message['content'] | trim)");

    test('ends where the message does, with its spaces if the template keeps them', () => {
      const head = '<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n';
      expect(going('hi ', chatmlTemplate)).toBe(`${head}hi `);
      expect(going('hi ', trimming)).toBe(`${head}hi`);
      expect(going(' hi', chatmlTemplate)).toBe(`${head} hi`);
    });

    test('is refused where the template does not show it', () => {
      expect(() => going('you', 'nothing')).toThrow('does not show the last message');
      expect(() => going('  ', chatmlTemplate)).toThrow('does not show the last message');
    });
  });

  test('variables and documents reach the template, and take nobody’s place', () => {
    const template = load('{{ mood }}{{ documents[0].title }}{{ bos_token }}', {
      bos_token: '<s>',
    });
    const variables = { mood: 'glad', bos_token: 'stolen' };
    expect(template.render({ ...input, variables, documents: [{ title: 'D' }] })).toBe('gladD<s>');
  });

  test('no template is null, a broken one a config fault', () => {
    expect(loadChatTemplate({})).toBeNull();
    expect(loadChatTemplate(null)).toBeNull();
    expect(() => load('{% if %}')).toThrow(Fault);
    expect(() => load('{% for x in %}')).toThrow('chat_template');
  });
});
