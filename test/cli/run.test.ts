// Whole command lines that end before a role starts: exit code, and what is said where.

import { describe, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configure } from '../../src/cli/configure.ts';
import { flagNames } from '../../src/cli/flags.ts';
import { openLog } from '../../src/cli/log-file.ts';
import { exitCodeOf, failureText } from '../../src/cli/output.ts';
import { type Env, parseFlags } from '../../src/cli/parse.ts';
import { run } from '../../src/cli/run.ts';
import { editCount, nearest } from '../../src/cli/suggest.ts';
import { Fault } from '../../src/std/fault.ts';

async function ran(words: string, env: Env = {}) {
  const said = { out: '', err: '' };
  const code = await run(words.split(' ').filter(Boolean), env, {
    out: (text) => {
      said.out += `${text}\n`;
    },
    err: (text) => {
      said.err += `${text}\n`;
    },
  });
  return { code, ...said };
}

describe('help', () => {
  test('names every flag and twin, and fits a terminal', async () => {
    const { code, out, err } = await ran('--help');
    expect([code, err]).toEqual([0, '']);
    for (const name of flagNames) expect(out).toContain(`--${name}`);
    expect(out).toContain('[TDIST_API_SERVER_PORT]');
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  });

  test('of one role leaves the others’ flags out', async () => {
    const { out } = await ran('--role api --help');
    expect(out).toContain('--queue-limit');
    expect(out).not.toContain('--max-num-seqs');
  });

  test.each(['verify', 'sim', 'pull'])('of the tool %s', async (tool) => {
    const { code, out, err } = await ran(`${tool} --help`);
    expect([code, err]).toEqual([0, '']);
    expect(out).toStartWith(`Usage: tdist ${tool}`);
  });

  test.each(['workers', 'doctor'])('of the tool %s, wherever it is asked for', async (tool) => {
    for (const words of ['--help', '-h', '--json --help', '--rol x -h']) {
      const { code, out, err } = await ran(`${tool} ${words}`);
      expect([code, err]).toEqual([0, '']);
      expect(out).toStartWith(`Usage: tdist ${tool}`);
    }
  });

  test('as a word, and of a tool', async () => {
    expect(await ran('help')).toEqual(await ran('--help'));
    expect(await ran('help doctor')).toEqual(await ran('doctor --help'));
  });

  test('nothing asked: help on stderr, exit 2', async () => {
    const { code, out, err } = await ran('');
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('Usage:');
  });

  test('flags without a role say so', async () => {
    const { code, err } = await ran('--threads 1');
    expect(code).toBe(2);
    expect(err).toContain('no role given');
  });
});

describe('exit codes', () => {
  test.each([
    ['--rol api', 'unknown flag --rol; the nearest known one is --role'],
    ['demoo', 'unknown tool demoo; the nearest known one is demo'],
    ['start', 'unknown tool start; tdist --help lists them'],
    ['--role apy', 'wanted one of api, context'],
    ['demo --bogus', 'unknown flag --bogus; tdist --help lists them'],
    ['demo --worker-nam x', 'unknown flag --worker-nam; the nearest known one is --worker-name'],
    ['demo --threads x', '--threads "x": wanted a whole number'],
    ['demo --role api', 'demo starts --role all, not --role api'],
    ['demo paris', 'unexpected argument "paris"'],
    ['bench --bogus', 'unknown flag --bogus; tdist --help lists them'],
    ['bench --dump-config', '--dump-config starts nothing: give it without bench'],
    ['bench engine --bogus', 'bench engine: --bogus: wanted --quick or one of'],
    ['verify --api-ulr x', 'unknown flag --api-ulr; the nearest known one is --api-url'],
    ['verify --model x --bogus', 'unknown flag --bogus; tdist --help lists them'],
    ['verify --against int8', 'verify --against int8: wanted float32'],
    ['verify --against float32 --api-url http://x', 'give --model-name instead of --api-url'],
    ['bench model 7b', 'bench model 7b: wanted one of 135m, 1b, 8b, 8b-fp8'],
    [
      'bench model 1b --layers 99',
      'bench model 1b --layers 99: wanted SIZE, or SIZE --layers 1 … 16',
    ],
    ['verify --block-tokens 9 --max-model-len 8', '--block-tokens 9'],
    ['--role api --log-dir /proc/nowhere --api-server-port 0', '--log-dir "/proc/nowhere"'],
    ['--role api --nats-creds-file /no/such', '--nats-creds-file "/no/such": no such file; give'],
    ['--role generate --nats-cert-file x', '--nats-cert-file "x": no such file; give'],
    ['--role api --nats-ca-file=/', '--nats-ca-file "/": is a folder; give'],
  ])('%s: one line, 2', async (words, part) => {
    const { code, out, err } = await ran(words);
    expect([code, out]).toEqual([2, '']);
    expect(err).toStartWith('tdist: ');
    expect(err).toContain(part);
    expect(err.trimEnd()).not.toContain('\n');
  });

  test('version, as flag and as tool', async () => {
    const { code, out } = await ran('version');
    expect(code).toBe(0);
    expect(out).toMatch(/^tdist \d+\.\d+\.\d+ \(build \w+, Bun [\d.]+\)\n$/);
    expect((await ran('--version')).out).toBe(out);
  });

  test('--dump-config prints JSON alone on stdout', async () => {
    const { code, out, err } = await ran('--role context --dtype half --dump-config');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ role: 'worker', kind: 'context' });
    expect(err).toBe('tdist: --dtype float16: on the CPU everything is computed in float32\n');
  });

  test('the stack comes only at debug level', async () => {
    expect((await ran('--role api --threads x --log-level 2')).err).toContain('\n    at ');
    expect((await ran('--role api --threads x', { TDIST_LOG_LEVEL: 'debug' })).err).toContain(
      'at ',
    );
    expect((await ran('--role api --threads x')).err).not.toContain(' at ');
  });
});

test('failures: one line; usage 2, everything else 1', () => {
  expect(failureText(new Fault('config', 'no\n  model\r\n'), false)).toBe('tdist: no; model');
  expect(failureText('odd', true)).toBe('tdist: odd');
  expect(exitCodeOf(new Fault('usage', ''))).toBe(2);
  expect(exitCodeOf(new Fault('config', ''))).toBe(1);
  expect(exitCodeOf(new TypeError(''))).toBe(1);
});

test('--log-dir: one file per process, named after it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tdist-cli-'));
  try {
    const at = (dir: string) => {
      const parsed = parseFlags(['--log-dir', dir], { TDIST_WORKER_ID: '3' });
      return configure(parsed, 'generate', { TDIST_WORKER_ID: '3' }).config;
    };
    const console = { errors: [] as string[], said: [] as string[] };
    const log = openLog(at(join(folder, 'a/b')), 42, {
      errors: (line) => console.errors.push(line),
      said: (line) => console.said.push(line),
    });
    log.info('detail');
    log.say('listening');
    log.error('broken');
    expect(readdirSync(join(folder, 'a/b'))).toEqual(['generate-3-42.log']);
    const lines = readFileSync(join(folder, 'a/b/generate-3-42.log'), 'utf8').trim().split('\n');
    expect(lines.map((line) => line.slice(13))).toEqual([
      'INFO  [generate-3] detail',
      'INFO  [generate-3] listening',
      'ERROR [generate-3] broken',
    ]);
    // The few lines that matter are seen at the terminal as well.
    expect(console).toEqual({ errors: lines.slice(2), said: lines.slice(1, 2) });
    writeFileSync(join(folder, 'file'), '');
    expect(() => openLog(at(join(folder, 'file')), 42)).toThrow('cannot be written to');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('edit distance counts a swap as one', () => {
  expect(editCount('prot', 'port')).toBe(1);
  expect(editCount('', 'abc')).toBe(3);
  expect(editCount('kitten', 'sitting')).toBe(3);
  expect(nearest('thread', ['role', 'threads'])).toBe('threads');
});
