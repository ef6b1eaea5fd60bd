// Words and environment to values: every spelling that is promised, every refusal in one line.

import { describe, expect, test } from 'bun:test';
import { envTwin, flagNames, flagOf } from '../../src/cli/flags.ts';
import { type Env, parseFlags } from '../../src/cli/parse.ts';
import { valueText } from '../../src/cli/value.ts';
import { Fault } from '../../src/std/fault.ts';

const values = (words: string, env: Env = {}) =>
  parseFlags(words.split(' ').filter(Boolean), env).values;

function refusal(words: readonly string[], env: Env = {}): string {
  try {
    parseFlags(words, env);
  } catch (thrown) {
    if (thrown instanceof Fault && thrown.code === 'usage') return thrown.message;
    throw thrown;
  }
  throw new Error(`accepted: ${words.join(' ')}`);
}

describe('spellings', () => {
  test('both --x v and --x=v', () => {
    expect(values('--api-server-port 9')['api-server-port']).toBe(9);
    expect(values('--api-server-port=9')['api-server-port']).toBe(9);
    expect(parseFlags(['--worker-name=a=b'], {}).values['worker-name']).toBe('a=b');
  });

  test('booleans: --x, --no-x, --x=off', () => {
    expect(values('--ignore-eos')['ignore-eos']).toBe(true);
    expect(values('--no-enable-chunked-prefill')['enable-chunked-prefill']).toBe(false);
    expect(values('--ignore-eos=off')['ignore-eos']).toBe(false);
    expect(values('')['initialize-request-plane']).toBeNull();
  });

  test('lists: repeated and by commas', () => {
    expect(values('--cors-origin a --cors-origin b,c')['cors-origin']).toEqual(['a', 'b', 'c']);
    expect(values('')['cors-origin']).toEqual(['http://localhost']);
  });

  test('choices answer to their aliases', () => {
    expect(values('--kv-cache-dtype fp8_e4m3')['kv-cache-dtype']).toBe('fp8');
    expect(values('--kv-cache-dtype FP16')['kv-cache-dtype']).toBe('float16');
    expect(values('--log-level 2')['log-level']).toBe('debug');
    expect(values('--log-level error')['log-level']).toBe('error');
  });

  test.each([
    ['64MiB', 67_108_864],
    ['1gib', 1_073_741_824],
    ['2M', 2_097_152],
    ['1.5 MiB', 1_572_864],
    ['2MB', 2_000_000],
    ['1048576', 1_048_576],
  ])('bytes: %s', (text, bytes) => {
    expect(parseFlags(['--kv-arena-bytes', text], {}).values['kv-arena-bytes']).toBe(bytes);
  });

  test.each([
    ['90', 90],
    ['90s', 90],
    ['1500 ms', 1.5],
    ['10m', 600],
    ['2H', 7200],
    ['1d', 86_400],
  ])('times, in seconds: %s', (text, seconds) => {
    const parsed = parseFlags(['--kv-object-ttl', text], {}).values['kv-object-ttl'];
    expect(parsed).toBe(seconds);
    expect(values(`--kv-object-ttl=${valueText(parsed)}`)['kv-object-ttl']).toBe(seconds);
  });

  test('the last one of a repeated flag wins', () => {
    expect(values('--threads 1 --threads 2').threads).toBe(2);
  });

  test('-h is --help', () => expect(values('-h').help).toBe(true));
});

describe('environment', () => {
  test('every setting has a twin', () => {
    expect(envTwin('api-server-port')).toBe('TDIST_API_SERVER_PORT');
    const twinless = flagNames.filter((name) => envTwin(name) === null);
    expect(twinless).toEqual(['help', 'version']);
  });

  test('the flag wins over its twin', () => {
    const env = { TDIST_API_SERVER_PORT: '1', TDIST_QUEUE_LIMIT: '2' };
    const mixed = values('--api-server-port 3', env);
    expect([mixed['api-server-port'], mixed['queue-limit']]).toEqual([3, 2]);
  });

  test('a list on the command line replaces the twin', () => {
    expect(values('--cors-origin a', { TDIST_CORS_ORIGIN: 'b' })['cors-origin']).toEqual(['a']);
  });

  test.each(['1', 'true', 'on', 'TRUE'])('boolean %s', (text) => {
    expect(values('', { TDIST_IGNORE_EOS: text })['ignore-eos']).toBe(true);
  });

  test.each(['0', 'false', 'off'])('boolean %s', (text) => {
    expect(values('', { TDIST_ENABLE_CHUNKED_PREFILL: text })['enable-chunked-prefill']).toBe(
      false,
    );
  });

  test('empty is unset, and TDIST_VERSION is nobody’s business', () => {
    const env = { TDIST_ROLE: '', TDIST_VERSION: '1.2.3' };
    expect(parseFlags([], env).given.size).toBe(0);
  });

  test('a wrong value names the variable', () => {
    expect(refusal([], { TDIST_THREADS: 'x' })).toBe(
      'TDIST_THREADS="x": wanted a whole number from 1 to 1024, for example TDIST_THREADS=4',
    );
  });
});

describe('refusals', () => {
  test.each([
    ['--api-server-prot', '--api-server-port'],
    ['--max_model_len', '--max-model-len'],
    ['--no-ignore-eoss', '--no-ignore-eos'],
    ['--rol', '--role'],
  ])('unknown %s suggests %s', (word, nearest) => {
    const message = refusal([word]);
    expect(message).toStartWith(`unknown flag ${word}; the nearest known one is ${nearest}`);
  });

  test.each(['--bogus', '-x', '--no-threads', '--'])('%s is near to none', (word) => {
    expect(refusal([word])).toBe(`unknown flag ${word}; tdist --help lists them`);
  });

  test.each<[string[], string]>([
    [['--api-server-port', '80x'], 'wanted a whole number from 0 to 65535'],
    [['--api-server-port', '65536'], 'wanted a whole number from 0 to 65535'],
    [['--queue-limit', '-1'], '--queue-limit "-1": wanted a whole number from 0'],
    [['--gpu-memory-utilization', '0'], 'wanted a number above 0 and at most 1'],
    [['--gpu-memory-utilization', '1.1'], 'for example --gpu-memory-utilization 0.9'],
    [['--kv-cache-dtype=fp7'], 'wanted one of auto, float32 (fp32)'],
    [['--kv-arena-bytes', '64MiBs'], 'for example --kv-arena-bytes 64MiB'],
    [['--kv-arena-bytes', '1'], 'wanted a size of at least 1048576 bytes'],
    [['--worker-name', ''], 'wanted a text that is not empty'],
    [['--ignore-eos=maybe'], 'wanted true or false'],
    [['--no-ignore-eos=1'], 'takes no value'],
    [['--threads'], '--threads needs a value'],
    [['--threads', '--ignore-eos'], '--threads needs a value'],
    [['--ignore-eos', 'true'], 'unexpected argument "true"'],
    [['--cors-origin', 'a,,b'], 'one or more values separated by commas'],
  ])('%p', (words, part) => {
    const message = refusal(words);
    expect(message).toContain(part);
    expect(message).not.toContain('\n');
  });

  test('no password in a message', () => {
    expect(refusal(['--request-plane-uri', 'nats://u:secret@h,,'])).not.toContain('secret');
  });
});

test('every default reads back as itself', () => {
  for (const name of flagNames) {
    const flag = flagOf(name);
    if (flag.default === null || valueText(flag.default) === '') continue;
    const again = parseFlags([`--${name}=${valueText(flag.default)}`], {}).values[name];
    expect(again).toEqual(flag.default);
  }
});

test('every example is accepted', () => {
  for (const name of flagNames) {
    const flag = flagOf(name);
    if (flag.kind === 'boolean' || flag.kind === 'choice') continue;
    expect(() => parseFlags([`--${name}`, flag.example], {})).not.toThrow();
  }
});
