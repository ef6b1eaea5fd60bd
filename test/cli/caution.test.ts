// Warnings at a start: variables that only look like ours, and a gateway that anybody may use.

import { expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { configure } from '../../src/cli/configure.ts';
import { type Env, parseFlags } from '../../src/cli/parse.ts';

function warnings(words: string, env: Env = {}): readonly string[] {
  const parsed = parseFlags(words.split(' ').filter(Boolean), env);
  return configure(parsed, parsed.values.role ?? 'all', env).warnings;
}

test.each([
  ['TDIST_API_SERVER_PROT', 'the nearest known one is TDIST_API_SERVER_PORT'],
  ['TDIST_WORKERID', 'the nearest known one is TDIST_WORKER_ID'],
  ['TDIST_OF_SOMEBODY_ELSE_ALTOGETHER', 'tdist --help shows those that do'],
])('%s: one line', (name, hint) => {
  expect(warnings('', { [name]: '1' })).toEqual([
    `${name} is no variable of tdist and does nothing; ${hint}`,
  ]);
  expect(warnings('', { [name]: '1', TDIST_SUPERVISOR_PID: '7' })).toEqual([]);
  expect(warnings('', { [name]: '' })).toEqual([]);
});

test('variables that the sources and scripts name are known', () => {
  const root = join(import.meta.dir, '../..');
  const paths = ['src', 'deploy'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  const names = new Set(
    paths.flatMap((path) => readFileSync(path, 'utf8').match(/\bTDIST_[A-Z][A-Z_]+[A-Z]\b/g) ?? []),
  );
  expect(names.size).toBeGreaterThan(8);
  names.delete('TDIST_BUILD'); // a constant of the build
  names.delete('TDIST_SUPERVISOR_PID'); // with it nothing is said at all
  for (const name of names) {
    const found = warnings('', { [name]: '1' }).filter((line) => line.startsWith(name));
    expect([name, found]).toEqual([name, []]);
  }
});

test('what Kubernetes sets for a service of that name is nobody’s mistake', () => {
  const env = {
    TDIST_SERVICE_HOST: '10.0.0.1',
    TDIST_API_SERVICE_PORT_HTTP: '80',
    TDIST_PORT: 'tcp://10.0.0.1:80',
    TDIST_PORT_80_TCP_ADDR: '10.0.0.1',
  };
  expect(warnings('', env)).toEqual([]);
});

test.each([
  ['--role all --api-server-host 0.0.0.0', {}, true],
  ['--role api --api-server-host 10.0.0.5', {}, true],
  ['--role api --api-server-host 10.0.0.5 --api-key-file keys', {}, false],
  ['--role all --api-server-host 0.0.0.0', { TDIST_API_KEY: 'sk-1' }, false],
  ['--role all --api-server-host localhost', {}, false],
  ['--role all', {}, false],
  ['--role context --api-server-host 0.0.0.0', {}, false],
  ['--role api --api-server-host 0.0.0.0', { TDIST_SUPERVISOR_PID: '7' }, false],
])('%s with %p: open to the network? %p', (words, env, isOpen) => {
  const lines = warnings(words, env);
  expect(lines.length).toBe(isOpen ? 1 : 0);
  if (isOpen) expect(lines[0]).toContain('without a key');
});
