// Each family's samples, whole and cut at every place: the events must be the same.

import { describe, expect, test } from 'bun:test';
import type { ToolParserName } from '../../../src/protocol/request.ts';
import { seededChance } from '../../../src/std/prng.ts';
import type { ToolEvent, ToolParser } from '../../../src/text/tool/event.ts';
import { toolParser } from '../../../src/text/tool/parser.ts';

const tools = ['get_weather', 'add'];

/** Short for the eye: text as it is, a call as its name and arguments. */
type Seen = string | readonly [name: string, json: string];

function seen(events: readonly ToolEvent[]): Seen[] {
  const list: Seen[] = [];
  let call: [string, string] | null = null;
  for (const event of events) {
    const last = list.at(-1);
    if (event.kind === 'call') call = [event.name, ''];
    else if (event.kind === 'arguments' && call !== null) call[1] += event.text;
    else if (event.kind === 'end' && call !== null) {
      list.push(call);
      call = null;
    } else if (event.kind === 'text' && call === null) {
      if (typeof last === 'string') list[list.length - 1] = last + event.text;
      else list.push(event.text);
    } else throw new Error(`out of order: ${JSON.stringify(event)}`);
  }
  if (call !== null) throw new Error('a call without its end');
  return list;
}

function feed(parser: ToolParser, pieces: readonly string[]): Seen[] {
  return seen([...pieces.flatMap((piece) => parser.push(piece)), ...parser.flush()]);
}

type Sample = readonly [what: string, text: string, ...expected: readonly Seen[]];

const weather = ['get_weather', '{"city": "Paris"}'] as const;
const paris = '{"name": "get_weather", "arguments": {"city": "Paris"}}';
const parisLlama = '{"name": "get_weather", "parameters": {"city": "Paris"}}';

const samples: Readonly<Record<ToolParserName, readonly Sample[]>> = {
  hermes: [
    ['plain text', 'Two < three, <tool> and <tool_cal', 'Two < three, <tool> and <tool_cal'],
    ['blank space alone', ' \n ', ' \n '],
    ['one call', `<tool_call>\n${paris}\n</tool_call>`, weather],
    ['text before it', `I look.\n<tool_call>${paris}</tool_call>`, 'I look.\n', weather],
    ['blank space around it', `\n\n<tool_call>${paris}</tool_call>\n`, weather],
    [
      'several, and text behind',
      `<tool_call>${paris}</tool_call>\n<tool_call>\n{"name":"add","arguments":{"a":1,"b":[-2.5e3,null]}}</tool_call> done`,
      weather,
      ['add', '{"a":1,"b":[-2.5e3,null]}'],
      ' done',
    ],
    [
      'strings with all that could confuse',
      '<tool_call>{"name": "get_weather", "arguments": {"city": "\\"}</tool_call>\\u00e9 <tool_call> 🎈\\\\"}}</tool_call>',
      ['get_weather', '{"city": "\\"}</tool_call>\\u00e9 <tool_call> 🎈\\\\"}'],
    ],
    [
      'arguments before the name',
      '<tool_call>{"arguments": {"a": 1}, "id": 7, "name": "add"}</tool_call>',
      ['add', '{"a": 1}'],
    ],
    ['no arguments', '<tool_call>{"name": "add"}</tool_call>', ['add', '{}']],
    ['null', '<tool_call>{"name": "add", "arguments": null}</tool_call>', ['add', '{}']],
    [
      'arguments within a string',
      '<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}</tool_call>',
      ['add', '{"a": 1}'],
    ],
    ['no closing mark', `<tool_call>${paris}`, weather],
    ['another call instead', `<tool_call>${paris}<tool_call>${paris}`, weather, weather],
  ],
  llama3_json: [
    ['plain text', 'It is {"name": 1} there', 'It is {"name": 1} there'],
    ['one call', parisLlama, weather],
    ['with its type', `\n{"type": "function", ${parisLlama.slice(1)}`, weather],
    ['behind the tag', `<|python_tag|>${parisLlama}`, weather],
    ['text before the tag', `Well. <|python_tag|>${parisLlama}`, 'Well. ', weather],
    ['several', `${parisLlama}; ${parisLlama}\n${parisLlama}`, weather, weather, weather],
    ['text behind', `${parisLlama}; so`, weather, '; so'],
    ['an answer in JSON', '{"city": "Paris"}', '{"city": "Paris"}'],
    ['one with a name', '{"name": "add"}', '{"name": "add"}'],
    ['code', '<|python_tag|>search("x")', '<|python_tag|>search("x")'],
    ['half a tag', '<|python', '<|python'],
  ],
  mistral: [
    ['plain text', '[TOOL] [1, 2] [TOOL_CALLS', '[TOOL] [1, 2] [TOOL_CALLS'],
    ['a list of one', `[TOOL_CALLS] [${paris}]`, weather],
    ['a list of two', `Yes.[TOOL_CALLS][${paris}, ${paris}]</s>`, 'Yes.', weather, weather, '</s>'],
    ['named', '[TOOL_CALLS]add[ARGS]{"a": 1}', ['add', '{"a": 1}']],
    [
      'named, twice, with ids',
      '[TOOL_CALLS]add[CALL_ID]a1B2c3D4e[ARGS]{"a": 1}[TOOL_CALLS]get_weather{"city": "Paris"}',
      ['add', '{"a": 1}'],
      weather,
    ],
    ['a second one that is broken', `[TOOL_CALLS] [${paris}, {"name"`, weather, ', {"name"'],
  ],
};

/** What is no call, of every family: it must come out as it went in. */
const malformed: Readonly<Record<ToolParserName, readonly string[]>> = {
  hermes: [
    '<tool_call>',
    '<tool_call></tool_call>',
    `<tool_call>${paris.slice(0, -1)}</tool_call>`,
    `<tool_call>${paris.slice(0, -5)}`,
    '<tool_call>{"name": "launch", "arguments": {}}</tool_call>',
    '<tool_call>{"name": "add", "name": "add", "arguments": {}}</tool_call>',
    '<tool_call>{"name": 5, "arguments": {}}</tool_call>',
    '<tool_call>{"name": "add", "arguments": [1]}</tool_call>',
    '<tool_call>{"name": "add", "arguments": "no"}</tool_call>',
    '<tool_call>{"name": "add", "arguments": {"a": 01}}</tool_call>',
    '<tool_call>{"name": "add", "arguments": {"a": .5}}</tool_call>',
    '<tool_call>{"name": "add", "arguments": {"a": 1,}}</tool_call>',
    '<tool_call>{"name": "add", "arguments": {"a": "\\x"}}</tool_call>',
    '<tool_call>{"name": "add", "arguments": {"a": "line\nbreak"}}</tool_call>',
    '<tool_call>{"name": "add", "arguments": {"a": nul}}</tool_call>',
    "<tool_call>{'name': 'add'}</tool_call>",
    '<tool_call><function=add></function></tool_call>',
    `<tool_call>{"name": "add", "arguments": ${'{"a":'.repeat(70)}1${'}'.repeat(70)}}</tool_call>`,
  ],
  llama3_json: [
    parisLlama.slice(0, -1),
    '{"name": "launch", "parameters": {}}',
    '{"name": "add", "parameters": {}, "more": 1}',
    '<|python_tag|>{"name": "launch", "parameters": {}}',
    '{',
  ],
  mistral: [
    '[TOOL_CALLS]',
    '[TOOL_CALLS] []',
    '[TOOL_CALLS] [5]',
    '[TOOL_CALLS] [{"name": "launch", "arguments": {}}]',
    '[TOOL_CALLS]launch[ARGS]{}',
    '[TOOL_CALLS]add[ARGS][1]',
    '[TOOL_CALLS]add[WHAT]{}',
    '[TOOL_CALLS]add[ARGS]{"a": 1',
  ],
};

function* cuts(text: string): Generator<string[]> {
  yield [...text].flatMap((char) => char.split(''));
  for (let at = 1; at < text.length; at++) yield [text.slice(0, at), text.slice(at)];
  const chance = seededChance(text.length);
  for (let round = 0; round < 20; round++) {
    const pieces: string[] = [];
    for (let at = 0; at < text.length; ) {
      const chars = 1 + (chance.u32() % 7);
      pieces.push(text.slice(at, at + chars));
      at += chars;
    }
    yield pieces;
  }
}

for (const name of ['hermes', 'llama3_json', 'mistral'] as const) {
  describe(name, () => {
    test.each([...samples[name]])('%s', (_what, text, ...expected) => {
      expect(feed(toolParser(name, tools), [text])).toEqual([...expected]);
      for (const pieces of cuts(text)) {
        expect(feed(toolParser(name, tools), pieces)).toEqual([...expected]);
      }
    });

    test.each([...malformed[name]])('%s is text', (text) => {
      for (const pieces of [[text], ...cuts(text)]) {
        expect(feed(toolParser(name, tools), pieces)).toEqual([text]);
      }
    });
  });
}

describe('calls too long to be held', () => {
  const begin = '<tool_call>{"name": "add", "arguments": ';
  const long = `{"a": "${'x'.repeat(100)}"}`;

  test('are told when their name and so much is here, and stream', () => {
    const parser = toolParser('hermes', tools, 64);
    expect(parser.push(begin + long.slice(0, 23))).toEqual([]);
    expect(parser.push(long.slice(23, 30))).toEqual([
      { kind: 'call', name: 'add' },
      { kind: 'arguments', text: long.slice(0, 30) },
    ]);
    expect(parser.push(long.slice(30, 40))).toEqual([
      { kind: 'arguments', text: long.slice(30, 40) },
    ]);
    expect(parser.push(`${long.slice(40)}}</tool_call>`)).toEqual([
      { kind: 'arguments', text: long.slice(40) },
      { kind: 'end' },
    ]);
    expect(parser.flush()).toEqual([]);
  });

  test('wherever they are cut', () => {
    const text = `So.${begin}${long}}\n</tool_call>\n${begin}{"a": 1}}</tool_call>`;
    const expected: Seen[] = ['So.', ['add', long], ['add', '{"a": 1}']];
    for (const pieces of cuts(text)) {
      expect(feed(toolParser('hermes', tools, 64), pieces)).toEqual(expected);
    }
  });

  test('arguments that just fit are not lost by what closes them', () => {
    const text = `${begin}${long}  }</tool_call>`;
    for (let chars = 40; chars < text.length + 2; chars++) {
      expect(feed(toolParser('hermes', tools, chars), [text])).toEqual([['add', long]]);
    }
  });

  test('broken off, they end where they broke, and the rest is text', () => {
    const text = `${begin}${long.slice(0, -2)}" oops}}</tool_call>`;
    for (const pieces of cuts(text)) {
      expect(feed(toolParser('hermes', tools, 64), pieces)).toEqual([
        ['add', `${long.slice(0, -1)} `],
        'oops}}</tool_call>',
      ]);
    }
  });

  test('without a name in time they are text', () => {
    const text = `<tool_call>{"arguments": ${`{"a": "${'x'.repeat(900)}"}`}, "name": "add"}</tool_call>`;
    for (const pieces of cuts(text)) {
      expect(feed(toolParser('hermes', tools, 64), pieces)).toEqual([text]);
    }
  });
});

test('time is linear: a megabyte of false starts', () => {
  const text = '<tool_call>{"name": "add", "arguments": {"a": [[["'.repeat(20_000);
  const parser = toolParser('hermes', tools);
  const startMs = performance.now();
  const events = feed(parser, text.match(/.{1,5}/g) ?? []);
  expect(events.join('')).toBe(text);
  expect(performance.now() - startMs).toBeLessThan(5000);
});
