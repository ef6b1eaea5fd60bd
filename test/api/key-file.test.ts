// The text of a key file: what it means, and that nothing of a key is in any complaint.

import { describe, expect, test } from 'bun:test';
import { keysOfFlag, parseKeyFile } from '../../src/api/key-file.ts';
import { digest } from '../../src/std/hash.ts';

const free = { requestsPerMinute: null, tokensPerMinute: null, concurrent: null };

test('keys, names, limits, comments and blank lines, in any line ending', () => {
  const text =
    '# ours\r\nsk-1\n\n  sk-2 concurrent=4   name=alice requests_per_minute=60\ttokens_per_minute=1000  \n';
  expect(parseKeyFile(text, 'k')).toEqual([
    { ...free, name: 'line-2', digest: digest('sk-1') },
    {
      name: 'alice',
      digest: digest('sk-2'),
      requestsPerMinute: 60,
      tokensPerMinute: 1000,
      concurrent: 4,
    },
  ]);
});

describe('refused with path and line, without the key', () => {
  test.each([
    ['', 'holds no key'],
    ['# only a comment\n', 'holds no key'],
    ['sk-geheim\nsk-geheim', 'line 2: the key of line 1 again'],
    ['sk-geheim requests_per_minute=0', 'requests_per_minute wants a whole number above 0'],
    ['sk-geheim tokens_per_minute=1e3', 'tokens_per_minute wants'],
    ['sk-geheim name=a"b', 'a name has'],
    [
      'sk-geheim color=red',
      'word 2 is no setting; wanted NAME=VALUE, of name, requests_per_minute',
    ],
    ['sk- geheim', 'word 2 is no setting'],
    ['gehéim', 'line 1: the key is not'],
    [`geheim${'x'.repeat(512)}`, 'line 1: the key is not'],
  ])('%j', (text, wanted) => {
    const read = () => parseKeyFile(text, './keys');
    expect(read).toThrow(wanted);
    expect(read).toThrow('--api-key-file ./keys');
    expect(read).not.toThrow(/geh[eé]im/);
  });
});

test('keys of the flag have numbers for names', () => {
  expect(keysOfFlag(['a', 'b']).map(({ name }) => name)).toEqual(['flag-1', 'flag-2']);
  expect(() => keysOfFlag(['a', 'geheim geheim'])).toThrow('--api-key 2: wanted');
});
