// Every way to be let in by a real nats-server: each connects, comes back by itself after the server was
// away, and is told in words what is wrong when it is refused. No secret on any line.

import { afterAll, afterEach, describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bus } from '../../src/plane/bus.ts';
import { openNatsBus } from '../../src/plane/nats.ts';
import { type NatsFiles, noNatsFiles } from '../../src/plane/nats-files.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { authority, certificate } from './certificate.ts';
import { nkeyUser, realm } from './nats-account.ts';
import { type NatsProcess, startNatsProcess } from './nats-process.ts';
import { connected, temporaryFolder } from './nats-world.ts';

const folder = temporaryFolder();
const lines: string[] = [];
const log = createLog({ level: 2, sink: (line) => lines.push(line), name: '' });
const running: NatsProcess[] = [];
const buses: Bus[] = [];

afterEach(async () => {
  for (const bus of buses.splice(0)) await bus.close();
  for (const server of running.splice(0)) await server.kill();
  lines.length = 0;
});
afterAll(() => folder.remove());

function file(name: string, text: string): string {
  const path = join(folder.path, name);
  writeFileSync(path, text);
  return path;
}

async function start(config: string, port = 0): Promise<NatsProcess> {
  const server = await startNatsProcess(folder.path, config, port);
  running.push(server);
  return server;
}

function open(uri: string, files: Partial<NatsFiles> = {}): Bus {
  const bus = openNatsBus({ uris: [uri], name: 'test', log, files: { ...noNatsFiles, ...files } });
  buses.push(bus);
  return bus;
}

/** Resolves when the bus says `part` of its trouble. */
function troubled(bus: Bus, part: string): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (bus.trouble()?.includes(part)) resolve();
    };
    bus.onTrouble(look);
    look();
  });
}

async function echo(bus: Bus, text: string): Promise<string> {
  const got = Promise.withResolvers<string>();
  const ending = bus.subscribe('echo', (data) => got.resolve(new TextDecoder().decode(data)));
  bus.publish('echo', new TextEncoder().encode(text));
  const answer = await got.promise;
  await ending.stop();
  return answer;
}

const home = realm();
const user = nkeyUser();
const ca = authority('Test CA');
const server = certificate({ name: 's', names: ['localhost', '127.0.0.1'], signer: ca });
const ours = certificate({ name: 'c', signer: ca });
const tlsConfig = (name: string, { pem, key } = server, more = '') =>
  `tls { cert_file: "${file(`${name}.pem`, pem)}", key_file: "${file(`${name}.key`, key)}" ${more} }`;
const caFile = file('ca.pem', ca.pem);
const certFile = file('ours.pem', ours.pem);
const keyFile = file('ours.key', ours.key);
const mutual = tlsConfig('mutual', server, `, ca_file: "${caFile}", verify: true`);
const password = 'authorization { user: me, password: "geh@im" }';

type Kind = {
  readonly name: string;
  readonly config: string;
  /** Before `127.0.0.1:PORT`. */
  readonly uri: string;
  readonly host?: string;
  readonly files?: Partial<NatsFiles>;
};

const kinds: readonly Kind[] = [
  { name: 'user and password', config: password, uri: 'nats://me:geh%40im@' },
  { name: 'token', config: 'authorization { token: geheim }', uri: 'nats://geheim@' },
  {
    name: 'nkey',
    config: `authorization { users: [{ nkey: ${user.publicKey} }] }`,
    uri: 'nats://',
    files: { nkeyFile: file('user.nk', `${user.seed}\n`) },
  },
  {
    name: 'credentials file',
    config: home.config,
    uri: 'nats://',
    files: { credsFile: file('user.creds', home.user('me')) },
  },
  {
    name: 'credentials file with CRLF',
    config: home.config,
    uri: 'nats://',
    files: { credsFile: file('dos.creds', home.user('me').replaceAll('\n', '\r\n')) },
  },
  { name: 'TLS', config: tlsConfig('tls'), uri: 'tls://', files: { caFile } },
  {
    name: 'TLS by name',
    config: tlsConfig('tls'),
    uri: 'tls://',
    host: 'localhost',
    files: { caFile },
  },
  { name: 'TLS, the server insists', config: tlsConfig('tls'), uri: 'nats://', files: { caFile } },
  {
    name: 'TLS with a certificate of ours and a password',
    config: `${mutual}\n${password}`,
    uri: 'tls://me:geh%40im@',
    files: { caFile, certFile, keyFile },
  },
];

describe('let in', () => {
  test.each(kinds.map((kind) => [kind.name, kind] as const))(
    '%s, and again after the server was away',
    async (_name, { config, uri, host = '127.0.0.1', files = {} }) => {
      const first = await start(config);
      const bus = open(`${uri}${host}:${first.port}`, files);
      await connected(bus);
      expect(await echo(bus, 'a'.repeat(200_000))).toHaveLength(200_000);
      await first.kill();
      await connected(bus, false);
      await start(config, first.port);
      await connected(bus);
      expect(await echo(bus, 'again')).toBe('again');
      expect(lines.join('\n')).not.toMatch(/geh|SU[A-Z2-7]{20}|eyJ/);
    },
  );

  test('new credentials in the file are used without a restart', async () => {
    const credsFile = file('late.creds', realm().user('stranger'));
    const { port } = await start(home.config);
    const bus = open(`nats://127.0.0.1:${port}`, { credsFile });
    await troubled(
      bus,
      'authorization violation: the server refuses the credentials of --nats-creds-file',
    );
    file('late.creds', 'half written');
    await troubled(bus, 'no user JWT');
    file('late.creds', home.user('me'));
    await connected(bus);
    // Each cause was said, and said once.
    for (const cause of ['authorization violation', 'no user JWT']) {
      expect(lines.filter((line) => line.includes(cause))).toHaveLength(1);
    }
  });

  test('credentials of the address go before those of a file', async () => {
    const { port } = await start(password);
    const bus = open(`me:geh%40im@127.0.0.1:${port}`, {
      nkeyFile: file('other.nk', nkeyUser().seed),
    });
    await connected(bus);
  });
});

describe('refused, in words', () => {
  const expired = certificate({ name: 's', names: ['127.0.0.1'], days: -1, signer: ca });
  const elsewhere = certificate({ name: 's', names: ['nats.example'], signer: ca });
  const otherCa = file('other.pem', authority('Other CA').pem);
  const foreign = certificate({ name: 'c', signer: authority('Other CA') });
  const files = {
    certFile: file('f.pem', foreign.pem),
    keyFile: file('f.key', foreign.key),
    caFile,
  };

  test.each<[string, string, string, Partial<NatsFiles>, string]>([
    [
      'no credentials',
      password,
      'nats://',
      {},
      'the server wants credentials; write user:password@',
    ],
    [
      'a wrong password',
      password,
      'nats://me:geheim@',
      {},
      'violation: the server refuses the user and password',
    ],
    [
      'a wrong token',
      'authorization { token: x }',
      'nats://geheim@',
      {},
      'refuses the token of the address',
    ],
    [
      'a stranger’s nkey',
      `authorization { users: [{ nkey: ${user.publicKey} }] }`,
      'nats://',
      { nkeyFile: file('stranger.nk', nkeyUser().seed) },
      'refuses the key of --nats-nkey-file',
    ],
    [
      'an unknown authority',
      tlsConfig('tls'),
      'tls://',
      { caFile: otherCa },
      'unknown authority (CA); name',
    ],
    ['the system’s authorities', tlsConfig('tls'), 'nats://', {}, 'unknown authority (CA); name'],
    [
      'an expired certificate',
      tlsConfig('exp', expired),
      'tls://',
      { caFile },
      'certificate has expired',
    ],
    [
      'another host’s certificate',
      tlsConfig('else', elsewhere),
      'tls://',
      { caFile },
      'for another host',
    ],
    ['a server without TLS', '', 'tls://', { caFile }, 'the server speaks no TLS'],
    [
      'no certificate of ours',
      mutual,
      'tls://',
      { caFile },
      'if it asks for a certificate of ours, give --nats-cert-file',
    ],
    [
      'a foreign certificate of ours',
      mutual,
      'tls://',
      files,
      'does not accept the certificate of --nats-cert-file',
    ],
  ])('%s', async (_name, config, scheme, files, words) => {
    const { port } = await start(config);
    const bus = open(`${scheme}127.0.0.1:${port}`, files);
    await troubled(bus, words);
    expect(bus.trouble()).toStartWith(`request plane ${scheme.split(':')[0]}://127.0.0.1:${port} `);
    expect(bus.trouble()).toEndWith('; trying again');
    expect(lines.join('\n')).not.toMatch(/geh/);
  });
});
