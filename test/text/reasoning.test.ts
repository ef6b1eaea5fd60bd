import { describe, expect, test } from 'bun:test';
import { opensThinking, ReasoningParser } from '../../src/text/reasoning.ts';

function parse(pieces: readonly string[], isOpen: boolean): [reasoning: string, text: string] {
  const parser = new ReasoningParser({ isOpen });
  const thoughts = [...pieces.map((piece) => parser.push(piece)), parser.flush()];
  return [
    thoughts.map(({ reasoning }) => reasoning).join(''),
    thoughts.map(({ text }) => text).join(''),
  ];
}

describe('ReasoningParser', () => {
  test.each([
    ['<think>\nHm.\n\nYes.\n</think>\n\nParis.\n', false, 'Hm.\n\nYes.', 'Paris.\n'],
    [' \n<think>a</think>b', false, 'a', 'b'],
    ['Hm.\n</think>\nParis', true, 'Hm.', 'Paris'],
    ['No mark. <think>x</think>', false, '', 'No mark. <think>x</think>'],
    ['<thin', false, '', '<thin'],
    [' <thing>', false, '', ' <thing>'],
    ['a < b </thin\n\n</thinker> \n<', true, 'a < b </thin\n\n</thinker> \n<', ''],
    ['</think>only', true, '', 'only'],
    ['\n\n</think>\n\n', true, '', ''],
    ['a\n</think</think></think>b', true, 'a\n</think', '</think>b'],
    [`${' '.repeat(80)}<think>a</think>b`, false, '', `${' '.repeat(80)}<think>a</think>b`],
    ['', false, '', ''],
  ])('%j, wherever it is cut', (text, isOpen, reasoning, rest) => {
    expect(parse([text], isOpen)).toEqual([reasoning, rest]);
    expect(parse(text.split(''), isOpen)).toEqual([reasoning, rest]);
    for (let at = 1; at < text.length; at++) {
      expect(parse([text.slice(0, at), text.slice(at)], isOpen)).toEqual([reasoning, rest]);
    }
  });

  test('thoughts leave as they come; only what may be a mark waits', () => {
    const parser = new ReasoningParser({ isOpen: true });
    expect(parser.push('a b')).toEqual({ reasoning: 'a b', text: '' });
    expect(parser.push('\n</th')).toEqual({ reasoning: '', text: '' });
    expect(parser.push('is')).toEqual({ reasoning: '\n</this', text: '' });
  });

  test('a prompt that ends inside the mark', () => {
    expect(opensThinking('<|im_start|>assistant\n<think>\n')).toBe(true);
    expect(opensThinking('<|im_start|>assistant\n<think>\n\n</think>\n\n')).toBe(false);
  });
});
