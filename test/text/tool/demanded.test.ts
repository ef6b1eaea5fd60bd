import { expect, test } from 'bun:test';
import { namedCallParser, requiredCallsParser } from '../../../src/text/tool/demanded.ts';

const text = '[{"name": "add", "arguments": {"a": 1}} ,{"name":"f","arguments":{}}]';

test('a list of calls, wherever it is cut', () => {
  const whole = [
    { kind: 'call', name: 'add' },
    { kind: 'arguments', text: '{"a": 1}' },
    { kind: 'end' },
    { kind: 'call', name: 'f' },
    { kind: 'arguments', text: '{}' },
    { kind: 'end' },
  ];
  for (let at = 0; at < text.length; at++) {
    const parser = requiredCallsParser(['add', 'f']);
    const events = [text.slice(0, at), text.slice(at)].flatMap((piece) => parser.push(piece));
    expect([...events, ...parser.flush()] as object[]).toEqual(whole);
  }
});

test('a list that was cut off: behind whole calls nothing, without them text', () => {
  const parser = requiredCallsParser(['add', 'f']);
  const events = parser.push(text.slice(0, 50));
  expect(events.map(({ kind }) => kind)).toEqual(['call', 'arguments', 'end']);
  expect(parser.flush()).toEqual([]);
  const early = requiredCallsParser(['add', 'f']);
  expect(early.push(text.slice(0, 30))).toEqual([]);
  expect(early.flush()).toEqual([{ kind: 'text', text: text.slice(0, 30) }]);
});

test('the arguments of a named call stream as they come', () => {
  const parser = namedCallParser('add');
  expect(parser.push('')).toEqual([]);
  expect(parser.push('{"a"')).toEqual([
    { kind: 'call', name: 'add' },
    { kind: 'arguments', text: '{"a"' },
  ]);
  expect(parser.push(': 1}')).toEqual([{ kind: 'arguments', text: ': 1}' }]);
  expect(parser.flush()).toEqual([{ kind: 'end' }]);
  expect(namedCallParser('add').flush()).toEqual([]);
});
