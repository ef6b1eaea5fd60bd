// A template with endless loops or an exponential text is refused, by name and soon.

import { describe, expect, test } from 'bun:test';
import { Fault } from '../../src/std/fault.ts';
import { loadChatTemplate } from '../../src/text/template.ts';

/** Of the processor's time; the dearest take 0.5 s. */
const limitMs = 5000;

function render(source: string, content = 'hi'): string {
  const template = loadChatTemplate({ chat_template: source });
  if (template === null) throw new Error('no template');
  const messages = [{ role: 'user', content }];
  return template.render({ messages, tools: null, addGenerationPrompt: true });
}

function refusal(source: string, content?: string): Fault {
  const start = process.cpuUsage();
  try {
    const text = render(source, content);
    throw new Error(`rendered ${text.length} characters`);
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1000).toBeLessThan(limitMs);
    return thrown;
  }
}

const loop = (body: string) =>
  `{% for a in range(60000) %}{% for b in range(60000) %}${body}{% endfor %}{% endfor %}`;
const doubled = (step: string) =>
  `{% set ns = namespace(x=${step.startsWith('[') ? '[]' : "'ab'"}) %}` +
  `{% for i in range(64) %}{% set ns.x = ${step} %}{% endfor %}`;

describe('a template that would cost too much is refused', () => {
  test.each([
    ['loops without an end', loop('x'), 'steps'],
    ['loops that say nothing', loop('{% set y = a * b %}'), 'steps'],
    ['a range of billions', '{% for i in range(4000000000) %}x{% endfor %}', 'list'],
    ['a backward range of billions', '{{ range(0, -4000000000, -1) | length }}', 'list'],
    ['a text doubled 64 times', `${doubled('ns.x ~ ns.x')}{{ ns.x }}`, 'steps'],
    ['likewise with +', `${doubled('ns.x + ns.x')}{{ ns.x }}`, 'steps'],
    [
      'a list that holds the last one twice',
      `${doubled('[ns.x, ns.x]')}{{ ns.x | tojson }}`,
      'steps',
    ],
    ['… printed', `${doubled('[ns.x, ns.x]')}{{ ns.x }}`, 'steps'],
    ['… joined', `${doubled('[ns.x, ns.x]')}{{ ns.x | join }}`, 'steps'],
    ['… compared to a text', `${doubled('[ns.x, ns.x]')}{{ ns.x == 'a' }}`, 'steps'],
    ['a list doubled', `${doubled('ns.x + ns.x + [1]')}{{ ns.x | length }}`, 'steps'],
    [
      'a value within itself',
      '{% set ns = namespace(x=1) %}{% set ns.x = [ns, ns] %}{{ ns.x }}',
      'nested',
    ],
    [
      'a list of many levels',
      '{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}',
      'nested',
    ],
    ['an indentation of billions', "{{ 'a\nb' | indent(2000000000) }}", 'text'],
    ['… by name', "{{ 'a\nb' | indent(width=2000000000) }}", 'text'],
    ['… unpacked', "{{ 'a\nb' | indent(*[2000000000]) }}", 'text'],
    ['… of JSON', '{{ messages | tojson(indent=2000000000) }}', 'text'],
    ['… of a block', '{% filter indent(2000000000) %}a\nb{% endfilter %}', 'text'],
    [
      'each character replaced by a long text',
      `${doubled('ns.x ~ ns.x').replace('64', '20')}{{ ns.x.replace('a', ns.x) }}`,
      'text',
    ],
    [
      '… by a method under another name',
      `${doubled('ns.x ~ ns.x').replace('64', '20')}{% set f = ns.x.replace %}{{ f('', ns.x) }}`,
      'text',
    ],
    [
      '… by the filter',
      `${doubled('ns.x ~ ns.x').replace('64', '20')}{{ ns.x | replace('a', ns.x) }}`,
      'text',
    ],
    [
      'characters joined by a long text',
      `${doubled('ns.x ~ ns.x').replace('64', '20')}{{ ns.x | join(ns.x) }}`,
      'text',
    ],
    ['a macro that calls itself', '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}', 'within each'],
    [
      'a macro that calls itself twice',
      '{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(99) }}',
      'steps',
    ],
    [
      'a long text stripped again and again',
      `${doubled('ns.x ~ ns.x').replace('64', '20')}{% for i in range(60000) %}{% set y = ns.x.strip('ab') %}{% endfor %}`,
      'steps',
    ],
    [
      'the date again and again',
      "{% for i in range(60000) %}{% set x = strftime_now('%B') %}{% endfor %}",
      'steps',
    ],
    [
      'a long text printed again and again',
      `${doubled('ns.x ~ ns.x').replace('64', '22')}{% for i in range(60000) %}{{ ns.x }}{% endfor %}`,
      'steps',
    ],
    [
      'one long text looked for in another',
      `${doubled('ns.x ~ ns.x').replace("'ab'", "'aa'").replace('64', '20')}{{ (ns.x ~ 'b') in (ns.x ~ ns.x) }}`,
      'steps',
    ],
  ])('%s', (_name, source, why) => {
    const fault = refusal(source);
    expect(fault.code).toBe('invalid_request');
    expect(fault.param).toBe('messages');
    expect(fault.message).toContain(why);
  });

  test('a client’s text that a template would cut into millions', () => {
    const source = "{% for line in messages[0].content.split('\n') %}{{ line }}{% endfor %}";
    expect(render(source, 'a\n'.repeat(1000))).toBe('a'.repeat(1000));
    expect(refusal(source, '\n'.repeat(1_000_000)).message).toContain('list');
  });

  test('a source of blanks, which the library would read for half a minute', () => {
    expect(() => loadChatTemplate({ chat_template: `{{${' '.repeat(200_000)}a}}` })).toThrow(
      'at most 1024 are read',
    );
    const blank = `{{${' '.repeat(1024)}a}}`.repeat(250);
    expect(render(blank)).toBe('');
  });

  test('a source of megabytes', () => {
    expect(() => loadChatTemplate({ chat_template: 'x'.repeat(300_000) })).toThrow(
      'at most 262144 are read',
    );
  });
});

test('the largest conversation that a body can hold is rendered', () => {
  const source =
    '{% for m in messages %}{% if loop.first and messages[0].role == "system" %}S{% endif %}' +
    '{% if messages | length > 3 and m.content is defined and m.content is not none %}' +
    "{% if '</think>' in m.content %}{% set c = m.content.split('</think>')[-1] %}{% else %}{% set c = m.content | trim %}{% endif %}" +
    "<{{ m.role }}>{{ c.lstrip('\n') + '</s>' }}{% endif %}{% endfor %}";
  const template = loadChatTemplate({ chat_template: source });
  const content = 'word '.repeat(500).trim();
  const messages = Array.from({ length: 4096 }, () => ({ role: 'user', content }));
  const text = template?.render({ messages, tools: null, addGenerationPrompt: true });
  expect(text).toBe(`<user>${content}</s>`.repeat(4096));
});

test('range counts as Python does', () => {
  expect(render('{{ range(3) }}{{ range(1, 4) }}{{ range(5, 0, -2) }}{{ range(2, 2) }}')).toBe(
    '[0, 1, 2][1, 2, 3][5, 3, 1][]',
  );
});
