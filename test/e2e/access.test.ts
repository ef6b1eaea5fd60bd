// A deployment that asks for keys and speaks TLS: started by flags, its key nowhere to be read, its own
// probes and tools let in, its certificate renewed.

import { expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { authority, certificate } from '../plane/certificate.ts';
import { question } from './chat.ts';
import { procText } from './leftover.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const secret = 'sk-geheim-4711';
const files = { cert: world.path('s.pem'), key: world.path('s.key'), keys: world.path('keys') };
const ca = authority('Test CA');
const own = certificate({ name: 's', names: ['127.0.0.1'], signer: ca });
writeFileSync(files.cert, own.pem);
writeFileSync(files.key, own.key);
writeFileSync(files.keys, '# ours\nsk-alice-1 name=alice concurrent=1\n');

test('keys and TLS: ready, guarded, and the key is in no log and no argument', async () => {
  const program = world.start([
    '--role=all',
    '--request-plane-uri=localhost:0',
    '--api-server-port=0',
    `--api-key=${secret}`,
    `--api-key-file=${files.keys}`,
    `--tls-cert=${files.cert}`,
    `--tls-key=${files.key}`,
    '--log-level=debug',
  ]);
  const [url = ''] = /https:\/\/\S+/.exec(await program.line('Ready: https://')) ?? [];
  const tls = { ca: ca.pem };
  const models = async (key: string): Promise<number> =>
    (await fetch(`${url}/v1/models`, { tls, headers: { authorization: `Bearer ${key}` } })).status;
  expect((await fetch(`${url}/health`, { tls })).status).toBe(200);
  expect(await models(secret)).toBe(200);
  expect(await models('sk-alice-1')).toBe(200);
  expect(await models('sk-other')).toBe(401);
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    tls,
    headers: { 'content-type': 'application/json', 'x-api-key': secret },
    body: JSON.stringify(question('What is the capital of France?')),
  });
  expect(await answer.text()).toContain('The capital of France is Paris.');
  const shown = await fetch(`${url}/metrics`, { tls, headers: { 'x-api-key': secret } });
  const metrics = await shown.text();
  expect(metrics).toContain('tdist_key_requests_total{key="flag-1",code="200"} 1');
  const children = world.processes().filter(({ pid }) => pid !== program.pid);
  expect(children.length).toBeGreaterThan(2);
  for (const { pid } of children) expect(procText(String(pid), 'cmdline')).not.toContain(secret);
  expect([...program.lines(), metrics].join('\n')).not.toMatch(/geheim|sk-alice/);
  expect((await program.stop()).code).toBe(0);
});

test('tdist workers asks with the key of its environment', async () => {
  const program = world.start(
    ['--role=api', '--request-plane-uri=localhost:1', '--api-server-port=0'],
    { env: { TDIST_API_KEY: secret } },
  );
  const [url = ''] = /http:\/\/\S+/.exec(await program.line('Listening on http://')) ?? [];
  const list = ['workers', `--api-url=${url}`];
  expect((await world.run(list)).stderr.join()).toContain('401: An API key is required');
  const { code, stdout } = await world.run(list, { env: { TDIST_API_KEY: secret } });
  expect([code, stdout]).toEqual([0, ['no worker is alive']]);
  await program.stop();
});

test.each([
  [['--tls-cert=none.pem', '--tls-key=none.key'], '--tls-cert none.pem: '],
  [['--api-key-file=none'], '--api-key-file none: '],
])('%p: one line, exit 2', async (flags, wanted) => {
  for (const role of ['api', 'all']) {
    const { code, stderr } = await world.run([`--role=${role}`, ...flags]);
    expect(code).toBe(2);
    expect(stderr).toHaveLength(1);
    expect(stderr[0]).toContain(wanted);
  }
});

testNothingLeft(world);
