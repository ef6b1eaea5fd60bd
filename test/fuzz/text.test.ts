// Chat templates come with models, messages from clients, answers from models: none of them is believed.

import { expect } from 'bun:test';
import { limit } from '../../src/protocol/limit.ts';
import { type ToolParserName, toolParserNames } from '../../src/protocol/request.ts';
import { Literal } from '../../src/text/literal.ts';
import { ReasoningParser } from '../../src/text/reasoning.ts';
import { loadChatTemplate } from '../../src/text/template.ts';
import { toolParser } from '../../src/text/tool/parser.ts';
import type { Dice } from './dice.ts';
import { fuzz } from './fuzz.ts';
import { goldenTemplates } from './golden-templates.ts';
import { spoiled, spoiledText } from './mutate.ts';
import { anyJson, oddNumbers, oddText } from './odd.ts';

const tool = {
  type: 'function',
  function: { name: 'f', parameters: { type: 'object', properties: { a: { type: 'string' } } } },
};
const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: { a: 1 } } };
const conversation = {
  messages: [
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'hello' },
    { role: 'assistant', content: null, tool_calls: [call], reasoning_content: 'hm' },
    { role: 'tool', content: '{"x": 1}', tool_call_id: 'c1' },
  ],
  tools: [tool],
  addGenerationPrompt: true,
  variables: { enable_thinking: true },
};
type Conversation = typeof conversation;

function render(source: string, input: Conversation): void {
  loadChatTemplate({ chat_template: source, bos_token: '<s>' })?.render(input);
}

fuzz({
  name: 'chat templates of models, spoiled',
  rounds: 600,
  make: (dice) => spoiledText(dice, dice.pick(goldenTemplates) ?? ''),
  run: (source) => render(source, conversation),
  codes: ['invalid_request', 'config'],
  quotes: true,
});

fuzz({
  name: 'chat templates made up',
  rounds: 500,
  make: (dice) => Array.from({ length: 1 + dice.below(6) }, () => statement(dice, 0)).join(''),
  run: (source) => render(source, conversation),
  codes: ['invalid_request', 'config'],
  quotes: true,
});

fuzz({
  name: 'messages of clients',
  rounds: 1000,
  make: (dice) => ({ source: dice.pick(goldenTemplates) ?? '', messages: spoiledMessages(dice) }),
  run({ source, messages }) {
    const input = new Literal(['<|im_end|>', '</s>'], messages).protect({
      ...conversation,
      messages,
    });
    render(source, input);
  },
  codes: ['invalid_request'],
  quotes: true,
});

/** Of the form that the intake lets through: text or nothing as content, anything as arguments. */
function spoiledMessages(dice: Dice): Conversation['messages'] {
  return Array.from({ length: 1 + dice.small(4) }, () => {
    const role = dice.pick(['system', 'user', 'assistant', 'tool'] as const);
    const content = dice.isOneIn(8) ? null : oddText(dice);
    const changed = {
      ...call,
      function: { name: oddText(dice), arguments: Object(anyJson(dice)) },
    };
    const calls = dice.isOneIn(2) ? {} : { tool_calls: [changed] };
    return { role, content: content ?? '', ...(role === 'assistant' ? { ...calls, content } : {}) };
  }) as Conversation['messages']; // a union of its members, as above
}

/** Statements that grow, loop, recurse and print, by a grammar of what hostile templates need. */
function statement(dice: Dice, depth: number): string {
  const inner = (): string => (depth > 3 ? '{{ x }}' : statement(dice, depth + 1));
  const value = (): string => expression(dice, 0);
  switch (dice.below(9)) {
    case 0:
      return `{% for ${dice.pick(['x', 'y'])} in ${value()} %}${inner()}${inner()}{% endfor %}`;
    case 1:
      return `{% for i in range(${dice.pick([3, 64, 60_000, 1e9])}) %}${inner()}{% endfor %}`;
    case 2:
      return `{% set ${dice.pick(['x', 'y', 'ns.x', 'a, b'])} = ${value()} %}`;
    case 3:
      return `{% set ns = namespace(x=${value()}) %}${inner()}`;
    case 4:
      return `{% macro f(a, b=${value()}) %}${inner()}{% endmacro %}{{ f(${value()}) }}`;
    case 5:
      return `{% if ${value()} %}${inner()}{% elif ${value()} %}${inner()}{% else %}${inner()}{% endif %}`;
    case 6:
      return `{% filter ${filter(dice, 0)} %}${inner()}{% endfilter %}`;
    case 7:
      return `{% call(z) f(${value()}) %}${inner()}{{ caller() }}{% endcall %}`;
    default:
      return `{{ ${value()} }}`;
  }
}

function expression(dice: Dice, depth: number): string {
  const inner = (): string =>
    depth > 3 ? dice.pick(['x', 'ns.x', 'messages', '7']) : expression(dice, depth + 1);
  switch (dice.below(14)) {
    case 0:
      return `(${inner()} ${dice.pick(['~', '+', '-', '*', '**', '/', '//', '%', '==', '!=', '<', 'in', 'not in', 'and', 'or'])} ${inner()})`;
    case 1:
      return `[${inner()}, ${inner()}]`;
    case 2:
      return `{${JSON.stringify(oddText(dice))}: ${inner()}}`;
    case 3:
      return `${inner()} | ${filter(dice, depth + 1)}`;
    case 4:
      return `${inner()}[${inner()}]`;
    case 5:
      return `${inner()}[${dice.pick(['1:', ':2', '::-1', '::0', '::1e9', '-5:5:2', ':'])}]`;
    case 6:
      return `${inner()}.${dice.pick(['x', 'content', 'role', 'items()', 'keys()', 'get(1)', 'split("")', "split('a')", 'upper()', 'strip("a")', "replace('', x)", "replace('a', ns.x)", 'length', 'title()', '__proto__', 'constructor', "startswith('a')"])}`;
    case 7:
      return `${inner()} is ${dice.pick(['defined', 'none', 'string', 'mapping', 'odd', 'lower', 'eq', 'not iterable', 'nonsense'])}`;
    case 8:
      return `f(${inner()}, ${dice.pick(['b', 'c', 'a'])}=${inner()})`;
    case 9:
      return dice.pick([
        'range(5)',
        'range(60000)',
        'range(9, 0, -1)',
        'raise_exception(x)',
        "strftime_now('%Y')",
        'namespace(a=1)',
        'range("a")',
        'f(*[1, 2])',
        'f(**{"b": 1})',
      ]);
    case 10:
      return String(dice.pick(oddNumbers));
    case 11:
      return JSON.stringify(oddText(dice));
    default:
      return dice.pick([
        'x',
        'y',
        'ns',
        'ns.x',
        'messages',
        'tools',
        'loop',
        'loop.index',
        'bos_token',
        'nothing',
        "'ab'",
        'true',
        'none',
      ]);
  }
}

function filter(dice: Dice, depth: number): string {
  const inner = (): string => (depth > 3 ? '7' : expression(dice, depth + 1));
  return dice.pick([
    'length',
    'first',
    'last',
    'reverse',
    'sort',
    'join',
    'unique',
    'string',
    'tojson',
    'upper',
    'title',
    'trim',
    'indent',
    'int',
    'float',
    'abs',
    'items',
    'list',
    'safe',
    'default',
    'dictsort',
    'nonsense',
    `indent(${inner()})`,
    `indent(width=${inner()}, first=true)`,
    `tojson(indent=${inner()})`,
    `join(${inner()})`,
    `replace(${inner()}, ${inner()})`,
    `default(${inner()}, true)`,
    `sort(reverse=true)`,
    `sort(attribute=${inner()})`,
    "selectattr('role')",
    "selectattr('role', 'equalto', 'user')",
    "map(attribute='content')",
    `int(${inner()})`,
  ]);
}

const answers = [
  '<tool_call>\n{"name": "f", "arguments": {"a": [1, {"b": "c"}], "d": "\\u00e9"}}\n</tool_call>',
  '<|python_tag|>{"type": "function", "name": "f", "parameters": {"a": 1}}',
  '[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}, "id": "abcdefghi"}]',
  '[TOOL_CALLS]f[ARGS]{"a": {"b": null}}',
  'text before <tool_call>{"arguments": {}, "name": "f"}</tool_call> and behind',
];

for (const family of toolParserNames) {
  fuzz({
    name: `tool calls as ${family} models write them`,
    rounds: 1500,
    make: (dice) => ({ text: spoiledText(dice, dice.pick(answers) ?? ''), cut: 1 + dice.small(7) }),
    run({ text, cut }) {
      if (text.length > limit.toolCallHeldCharsMax) return streamed(family, text);
      const whole = toolParser(family, ['f']);
      const all = said([...whole.push(text), ...whole.flush()]);
      // In whatever pieces it comes, it says the same; only whether a call streams may differ.
      const cutUp = toolParser(family, ['f'], Number.MAX_SAFE_INTEGER);
      const events = [];
      for (let at = 0; at < text.length; at += cut)
        events.push(...cutUp.push(text.slice(at, at + cut)));
      const pieced = said([...events, ...cutUp.flush()]);
      expect(pieced).toEqual(all);
    },
    codes: [],
  });
}

/** Longer calls are streamed before they are whole: broken ones, too. */
function streamed(family: ToolParserName, text: string): void {
  const parser = toolParser(family, ['f']);
  parser.push(text);
  parser.flush();
}

type Event = { readonly kind: string; readonly text?: string; readonly name?: string };

/** Events with neighbouring texts joined; arguments of a call must be an object's JSON. */
function said(events: readonly Event[]): readonly string[] {
  const list: string[] = [];
  let before = '';
  for (const { kind, text = '', name = '' } of events) {
    if (kind === before && (kind === 'text' || kind === 'arguments'))
      list.push(`${list.pop() ?? ''}${text}`);
    else list.push(`${kind} ${name}${text}`);
    before = kind;
  }
  for (const entry of list.filter((one) => one.startsWith('arguments {')))
    JSON.parse(entry.slice(10));
  return list;
}

fuzz({
  name: 'thoughts of models',
  rounds: 2000,
  make: (dice) => ({
    text: spoiledText(dice, '<think>\nhm </thin</think>\n\nyes'),
    cut: 1 + dice.small(5),
    isOpen: dice.isOneIn(2),
  }),
  run({ text, cut, isOpen }) {
    const whole = new ReasoningParser({ isOpen });
    const parts = [whole.push(text), whole.flush()];
    const cutUp = new ReasoningParser({ isOpen });
    const pieces = [];
    for (let at = 0; at < text.length; at += cut) pieces.push(cutUp.push(text.slice(at, at + cut)));
    pieces.push(cutUp.flush());
    for (const key of ['reasoning', 'text'] as const) {
      expect(pieces.map((piece) => piece[key]).join('')).toBe(
        parts.map((part) => part[key]).join(''),
      );
    }
  },
  codes: [],
});

fuzz({
  name: 'tokenizer_config.json with templates',
  rounds: 500,
  make: (dice) =>
    spoiled(dice, {
      bos_token: '<s>',
      eos_token: { content: '</s>' },
      chat_template: [
        { name: 'default', template: '{{ messages[0].content }}' },
        { name: 'tool_use', template: '{{ tools | tojson }}' },
      ],
    }),
  run: (config) => loadChatTemplate(config)?.render(conversation),
  codes: ['config', 'invalid_request'],
  quotes: true,
});
