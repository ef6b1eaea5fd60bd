// A request plane with TLS and accounts of its own, from the gateway to the workers; and that no password
// of an address can be read in the process list or a log.

import { expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { authority, certificate } from '../plane/certificate.ts';
import { realm } from '../plane/nats-account.ts';
import { startNatsProcess } from '../plane/nats-process.ts';
import { seedBody, stream } from './chat.ts';
import { startAll } from './deployment.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const answer = 'The capital of France is Paris.';

function file(name: string, text: string): string {
  const path = world.path(name);
  writeFileSync(path, text);
  return path;
}

/** What anyone on this machine, or a reader of the log, can see of the deployment. */
function visible(lines: readonly string[]): string {
  return [...world.processes().map(({ command }) => command), ...lines].join('\n');
}

test('our own nats-server with a password in the environment', async () => {
  const env = { TDIST_REQUEST_PLANE_URI: 'nats://me:geh%40eim@127.0.0.1:0' };
  const program = world.start(
    ['--role=all', '--api-server-port=0', '--local-prefill-tokens=0', '--log-level=2'],
    { env },
  );
  await using ending = program;
  const line = await ending.line('Ready: http://');
  const [url = ''] = /http:\/\/\S+/.exec(line) ?? [];
  expect((await stream(url, seedBody)).text).toBe(answer);
  expect(world.processes().length).toBeGreaterThanOrEqual(5); // all, nats-server, api, two workers
  expect(visible(program.lines())).not.toContain('geh');
});

test('a nats-server with TLS and JWTs: credentials file and authority by flag', async () => {
  const ca = authority('Test CA');
  const { pem, key } = certificate({ name: 's', names: ['localhost'], signer: ca });
  const home = realm();
  const tls = `tls { cert_file: "${file('s.pem', pem)}", key_file: "${file('s.key', key)}" }`;
  const server = await startNatsProcess(world.folder, `${home.config}\n${tls}`);
  const creds = home.user('me');
  try {
    await using all = await startAll(world, [
      '--no-initialize-request-plane',
      `--request-plane-uri=tls://localhost:${server.port}`,
      `--nats-creds-file=${file('me.creds', creds)}`,
      `--nats-ca-file=${file('ca.pem', ca.pem)}`,
    ]);
    expect((await stream(all.url, seedBody)).text).toBe(answer);
    expect(visible(all.program.lines())).not.toMatch(/SU[A-Z2-7]{20}|eyJ/);
  } finally {
    await server.kill();
  }
});

test('a wrong file ends the start with one line', async () => {
  const path = file('bad.creds', 'no credentials');
  const { code, stderr } = await world.run(['--role=api', `--nats-creds-file=${path}`]);
  expect(code).toBe(2);
  expect(stderr).toEqual([
    expect.stringContaining(`tdist: --nats-creds-file "${path}": no user JWT`),
  ]);
});

testNothingLeft(world);
