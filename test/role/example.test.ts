// The request that is shown when all is ready.

import { expect, test } from 'bun:test';
import { keysOfFlag } from '../../src/api/key-file.ts';
import { exampleRequest } from '../../src/role/example.ts';

const open = { apiKeys: [], apiKeyFile: null, tls: null };
const shown = (api: Partial<Parameters<typeof exampleRequest>[2]>, env = {}): string =>
  exampleRequest('https://h:1', 'm', { ...open, ...api }, env);

test('the key: of the variable only where that is let in, else for the reader to name', () => {
  const apiKeys = keysOfFlag(['secret']);
  const key = (api: Parameters<typeof shown>[0], env = {}) =>
    /Bearer ([^"]*)"/.exec(shown(api, env))?.[1];
  expect(key({})).toBeUndefined();
  expect(key({ apiKeys })).toBe('KEY');
  expect(key({ apiKeys }, { TDIST_API_KEY: 'other' })).toBe('KEY');
  expect(key({ apiKeys }, { TDIST_API_KEY: 'secret' })).toBe('$TDIST_API_KEY');
  expect(key({ apiKeyFile: 'keys' })).toBe('KEY');
});

test('with TLS: whom to trust', () => {
  expect(shown({})).not.toContain('--cacert');
  const tls = (certFile: string) => shown({ tls: { certFile, keyFile: 'k' } });
  expect(tls('a/s.pem')).toContain(' --cacert a/s.pem ');
  expect(tls("it's.pem")).toContain(" --cacert 'it'\\''s.pem' ");
});
