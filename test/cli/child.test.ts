// What a supervisor hands on: a child configured from it must come out as the supervisor's own
// settings say, without a second warning.

import { expect, test } from 'bun:test';
import { childEnv, childFlags, childSecrets } from '../../src/cli/child.ts';
import { configure } from '../../src/cli/configure.ts';
import { parseFlags } from '../../src/cli/parse.ts';

const env = {
  TDIST_THREADS: '3',
  TDIST_ROLE: 'all',
  VLLM_WORKER_ID: '7',
  HOME: '/h',
  HF_TOKEN: 't',
};
const words = [
  '--context-worker-count=4',
  '--model-name=./my model',
  '--kv-cache-dtype=fp8',
  '--dtype=half',
  '--no-ignore-eos',
  '--cors-origin=http://a',
  '--cors-origin=http://b',
  '--kv-arena-bytes=2MiB',
];
const parsed = parseFlags(words, env);

test('a worker gets its flags, from both sources', () => {
  const handed = childFlags(parsed, 'context');
  expect([...handed].sort()).toEqual([
    '--kv-arena-bytes=2097152',
    '--kv-cache-dtype=fp8',
    '--model-name=./my model',
    '--no-ignore-eos',
    '--threads=3',
  ]);
  const { config, warnings } = configure(parseFlags(handed, childEnv(env)), 'context', {});
  expect(config).toMatchObject({ modelName: './my model', threadCount: 3, kvDtype: 'fp8' });
  expect(warnings).toEqual([]);
});

test('an api gets its own, and no model name', () => {
  expect(childFlags(parsed, 'api')).toEqual(['--cors-origin=http://a,http://b']);
});

test('API keys travel in the environment alone, and only to the gateway', () => {
  const keyed = parseFlags(['--api-key=sk-one', '--api-key', 'sk-two', '--api-key-file=./k'], {});
  expect(childFlags(keyed, 'api')).toEqual(['--api-key-file=./k']);
  expect(childSecrets(keyed, 'api')).toEqual({ TDIST_API_KEY: 'sk-one,sk-two' });
  expect(childSecrets(keyed, 'generate')).toEqual({});
  expect(childEnv({ TDIST_API_KEY: 'sk-one' })).toEqual({});
  const { config } = configure(parseFlags([], childSecrets(keyed, 'api')), 'api', {});
  expect(config).toMatchObject({ apiKeys: [{ name: 'flag-1' }, { name: 'flag-2' }] });
});

test('paths of credentials travel as flags, addresses with passwords never', () => {
  const secret = parseFlags(
    [
      '--request-plane-uri',
      'nats://me:geheim@h',
      '--nats-creds-file=u.creds',
      '--kv-object-ttl=5m',
    ],
    { TDIST_NATS_URL: 'nats://geheim@h', TDIST_NATS_CA_FILE: 'ca.pem' },
  );
  const handed = [...childFlags(secret, 'generate')].sort();
  expect(handed).toEqual([
    '--kv-object-ttl=300',
    '--nats-ca-file=ca.pem',
    '--nats-creds-file=u.creds',
  ]);
  expect(childFlags(secret, 'api')).not.toContain('--kv-object-ttl=300');
});

test('the environment loses our twins alone', () => {
  expect(childEnv(env)).toEqual({ HOME: '/h', HF_TOKEN: 't' });
});
