// Wrong files are one line: flag, path, what was found, what to give.

import { afterAll, expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type NatsFiles, noNatsFiles, readNatsFiles } from '../../src/plane/nats-files.ts';
import { isUserSeed } from '../../src/plane/nkey.ts';
import { Fault } from '../../src/std/fault.ts';
import { authority, certificate } from './certificate.ts';
import { nkeyUser, realm } from './nats-account.ts';
import { temporaryFolder } from './nats-world.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());

function file(name: string, text: string): string {
  const path = join(folder.path, name);
  writeFileSync(path, text);
  return path;
}

const ca = authority('CA');
const ours = certificate({ name: 'c', signer: ca });
const other = certificate({ name: 'c', signer: ca });
const certFile = file('c.pem', ours.pem);
const { seed, publicKey } = nkeyUser();
const creds = realm().user('me');
mkdirSync(join(folder.path, 'folder'));

test('what is right is read', () => {
  expect(readNatsFiles(noNatsFiles)).toEqual({ user: null, authorities: null, identity: null });
  const found = readNatsFiles({
    credsFile: file('ok.creds', creds),
    nkeyFile: null,
    caFile: file('both.pem', `# two\n${ca.pem}\n${ours.pem}`),
    certFile,
    keyFile: file('c.key', ours.key),
  });
  expect(creds).toContain(found.user?.seed ?? 'none');
  expect(found.user?.jwt?.split('.')).toHaveLength(3);
  expect(found.authorities).toHaveLength(2);
  expect(found.identity).toEqual({ cert: ours.pem, key: ours.key });
  const nkey = readNatsFiles({ ...noNatsFiles, nkeyFile: file('u.nk', `\n${seed}\r\n`) });
  expect(nkey.user).toEqual({ jwt: null, seed });
});

const flip = (text: string): string =>
  `${text.slice(0, 20)}${text[20] === 'A' ? 'B' : 'A'}${text.slice(21)}`;

test('a seed is known by form and checksum', () => {
  expect(isUserSeed(seed)).toBeTrue();
  for (const bad of [flip(seed), publicKey, seed.slice(1), `S${seed}`, seed.toLowerCase(), '']) {
    expect(isUserSeed(bad)).toBeFalse();
  }
});

test.each<[string, Partial<NatsFiles>, RegExp]>([
  [
    'none there',
    { credsFile: '/no/such' },
    /^--nats-creds-file "\/no\/such": no such file; give a file that `nsc/,
  ],
  ['a folder', { nkeyFile: join(folder.path, 'folder') }, /^--nats-nkey-file .*is a folder; give/],
  ['no JWT', { credsFile: file('a.creds', seed) }, /no user JWT/],
  [
    'a damaged seed',
    { credsFile: file('b.creds', creds.replace(/SU[A-Z2-7]{56}/, flip)) },
    /no user seed/,
  ],
  ['a public key', { nkeyFile: file('p.nk', publicKey) }, /^--nats-nkey-file .*no user seed/],
  ['an empty file', { nkeyFile: file('e.nk', '') }, /no user seed/],
  [
    'no PEM',
    { caFile: file('x.pem', 'hello') },
    /^--nats-ca-file .*no certificate in PEM form; give/,
  ],
  [
    'a damaged certificate',
    { caFile: file('y.pem', ca.pem + ours.pem.replace('MII', 'AAA').replace(/MIH/, 'AAA')) },
    /certificate 2 of 2 cannot be read/,
  ],
  ['a certificate alone', { certFile }, /^--nats-cert-file without --nats-key-file; give both$/],
  ['a key alone', { keyFile: certFile }, /^--nats-key-file without --nats-cert-file; give both$/],
  [
    'another’s key',
    { certFile, keyFile: file('o.key', other.key) },
    /^--nats-key-file .*not the key of/,
  ],
  ['a key that is none', { certFile, keyFile: certFile }, /^--nats-key-file .*no private key/],
  [
    'two users',
    { credsFile: 'a', nkeyFile: 'b' },
    /^--nats-creds-file and --nats-nkey-file .*one of them$/,
  ],
])('%s', (_name, files, words) => {
  let found: unknown;
  try {
    readNatsFiles({ ...noNatsFiles, ...files });
  } catch (thrown) {
    found = thrown;
  }
  if (!(found instanceof Fault)) throw new Error(`wanted a Fault, found ${String(found)}`);
  expect(found.code).toBe('usage');
  expect(found.message).toMatch(words);
  expect(found.message).not.toMatch(/SU[A-Z2-7]{10}|\n/);
});
