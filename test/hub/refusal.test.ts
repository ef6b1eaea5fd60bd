// Everything a hub may say instead of a model: one line, what is wrong, the mend.

import { expect, test } from 'bun:test';
import { faultOf, HubWorld, type PullChanges, tinyFiles } from './world.ts';

type Setting = PullChanges & { readonly access?: 'private' | 'gated' | 'denied' };

test.each<[string, string, Setting, string, string[]]>([
  ['no such repository', 'org/other', {}, 'repo', ['has no model org/other', 'HF_TOKEN']],
  ['… with a token', 'org/other', { token: 'hf_right' }, 'repo', ['org/other', 'spelling']],
  ['private', 'org/tiny', { access: 'private' }, 'repo', ['org/tiny', 'HF_TOKEN', 'private']],
  ['gated', 'org/tiny', { access: 'gated' }, 'gated', ['gated', '/org/tiny, then set HF_TOKEN']],
  [
    'gated, and the account has no access',
    'org/tiny',
    { access: 'denied', token: 'hf_right' },
    'gated',
    ['gated', 'the account of your token may not', 'is restricted'],
  ],
  ['a wrong token', 'org/tiny', { token: 'wrong' }, 'token', ['401', 'Invalid credentials']],
  ['no such revision', 'org/tiny@v9', {}, 'revision', ['no revision v9']],
])('%s', async (_name, name, { access, ...changes }, reason, wanted) => {
  await using world = await HubWorld.open();
  const repo = world.hub.add('org/tiny', tinyFiles());
  if (access !== undefined) repo.access = access;
  const fault = await faultOf(world.pull(name, changes));
  expect([fault.code, fault.reason]).toEqual(['config', reason]);
  for (const text of wanted) expect(fault.message).toContain(text);
  expect(world.hub.asked.filter(({ path }) => path.startsWith('/bytes/'))).toEqual([]);
  expect(world.begun).toEqual([]);
  expect(fault.message).not.toMatch(/\n|hf_right|wrong\b/);
});

test.each([
  [403, { 'x-error-message': 'no\tway  ü.' }, 'forbidden', 'no way'],
  [500, {}, 'network', 'answers 500'],
  [429, { 'retry-after': '7' }, 'network', 'answers 429'],
])('%p of the API', async (status, headers, reason, wanted) => {
  await using world = await HubWorld.open();
  world.hub.add('org/tiny', tinyFiles());
  world.hub.apiFaults.push({ type: 'status', status, headers });
  const fault = await faultOf(world.pull());
  expect([fault.reason, fault.retryAfterS]).toEqual([reason, status === 429 ? 7 : undefined]);
  expect(fault.message).toContain(wanted);
});

test('a file that is listed and is not there', async () => {
  await using world = await HubWorld.open();
  world.hub.add('org/tiny', tinyFiles());
  const oid = 'd'.repeat(40);
  world.hub.strangeEntries.push({ type: 'file', path: 'chat_template.json', size: 3, oid });
  const fault = await faultOf(world.pull());
  expect([fault.reason, fault.message]).toEqual([
    'entry',
    'org/tiny has no file chat_template.json at main',
  ]);
});

test('a hub that does not listen', async () => {
  await using world = await HubWorld.open();
  const { endpoint } = world.hub;
  await world.hub.stop();
  const fault = await faultOf(world.pull('org/tiny', { endpoint }));
  expect([fault.code, fault.reason]).toEqual(['config', 'network']);
  expect(fault.message).toBe(
    `${new URL(endpoint).host} (the hub of HF_ENDPOINT) cannot be reached (ECONNREFUSED); ` +
      'set HF_ENDPOINT to a hub that answers, or HF_HUB_OFFLINE=1 to use a model that is in the cache',
  );
});

test.each([
  ['http://127.0.0.1:1/bytes?signature=secret', '127.0.0.1:1 cannot be reached (ECONNREFUSED)'],
  ['ftp://127.0.0.1/bytes', 'redirects to something that is no http: URL'],
])('a redirect to %s', async (location, wanted) => {
  await using world = await HubWorld.open();
  world.hub.add('org/tiny', tinyFiles());
  world.hub.linked.set('model.safetensors', { location });
  const { message } = await faultOf(world.pull());
  expect(message).toContain(wanted);
  expect(world.notes.join('\n') + message).not.toContain('secret');
});

test('redirects without end', async () => {
  await using world = await HubWorld.open();
  world.hub.add('org/tiny', tinyFiles());
  const location = '/org/tiny/resolve/main/model.safetensors';
  world.hub.linked.set('model.safetensors', { location });
  expect((await faultOf(world.pull())).message).toContain('redirects more than 5 times');
  const hops = world.hub.asked.filter(({ path }) => path.endsWith('/model.safetensors'));
  expect(hops).toHaveLength(6);
});
