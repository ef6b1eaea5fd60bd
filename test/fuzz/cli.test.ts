// Words, environment and files of operators: a wrong one is a line that says so.

import { afterAll } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTls } from '../../src/api/gateway-files.ts';
import { parseKeyFile } from '../../src/api/key-file.ts';
import { configure, roleOf } from '../../src/cli/configure.ts';
import { envTwin, flagNames } from '../../src/cli/flags.ts';
import { parseFlags } from '../../src/cli/parse.ts';
import { noNatsFiles, readNatsFiles } from '../../src/plane/nats-files.ts';
import { parsePlaneUris } from '../../src/plane/uri.ts';
import { authority } from '../plane/certificate.ts';
import type { Dice } from './dice.ts';
import { fuzz } from './fuzz.ts';
import { spoiledText } from './mutate.ts';
import { oddText } from './odd.ts';

const values = [
  '1',
  '0',
  '-1',
  '1e9',
  '99999999999999999999',
  '8GiB',
  '0.5',
  '10s',
  'true',
  'off',
  'auto',
  'shm',
  'a,b',
  ',',
  'tdist/demo',
  'nats://u:p@h:1',
  'http://localhost',
];

function value(dice: Dice): string {
  return dice.isOneIn(3) ? oddText(dice) : (dice.pick(values) ?? '');
}

fuzz({
  name: 'flags and environment',
  rounds: 1500,
  make: (dice) => ({
    argv: [
      `--role=${dice.pick(['api', 'all', 'context', 'generate', 'baseline'])}`,
      ...Array.from({ length: dice.below(5) }, () => {
        const name = dice.isOneIn(8) ? oddText(dice) : (dice.pick(flagNames) ?? '');
        return dice.pick([`--${name}`, `--no-${name}`, `--${name}=${value(dice)}`, value(dice)]);
      }),
    ],
    env: Object.fromEntries(
      Array.from({ length: dice.below(4) }, () => [
        envTwin(dice.pick(flagNames) ?? 'role') ?? 'TDIST_X',
        value(dice),
      ]),
    ),
  }),
  run({ argv, env }) {
    const parsed = parseFlags(argv, env);
    const role = roleOf(parsed.values);
    if (role !== null) configure(parsed, role, env);
  },
  codes: ['usage'],
});

fuzz({
  name: 'addresses of the request plane',
  rounds: 2000,
  make: (dice) =>
    spoiledText(
      dice,
      dice.pick([
        'nats://user:pass@host:4222',
        'tls://token@[::1]:4222,nats://b',
        'localhost:4223',
      ]),
    ),
  run: (text) => parsePlaneUris(text),
  codes: ['usage'],
});

const keys =
  '# keys\nsk-abc\nsk-def name=alice requests_per_minute=60 tokens_per_minute=1000 concurrent=4\n';
fuzz({
  name: 'file of API keys',
  rounds: 2000,
  make: (dice) => spoiledText(dice, keys),
  run: (text) => parseKeyFile(text, 'keys'),
  codes: ['usage'],
});

const folder = mkdtempSync(join(tmpdir(), 'tdist-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true }));
// Made anew each time; what is changed of them follows from the seed.
const { pem: cert, key } = authority('Fuzz CA');
const seed = 'SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY';
const creds = `-----BEGIN NATS USER JWT-----\neyJ0.eyJq.sig\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`;

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

fuzz({
  name: 'certificate and key of the gateway',
  rounds: 200,
  make: (dice) => ({
    certText: dice.isOneIn(2) ? cert : spoiledText(dice, cert),
    keyText: dice.isOneIn(2) ? key : spoiledText(dice, key),
  }),
  run: ({ certText, keyText }) =>
    readTls({ certFile: file('c.pem', certText), keyFile: file('k.pem', keyText) }),
  codes: ['usage'],
});

fuzz({
  name: 'credentials for NATS',
  rounds: 300,
  make: (dice) => ({
    kind: dice.below(3),
    text: spoiledText(dice, creds),
    seedText: spoiledText(dice, seed),
    certText: dice.isOneIn(2) ? cert : spoiledText(dice, cert),
  }),
  run({ kind, text, seedText, certText }) {
    if (kind === 0) readNatsFiles({ ...noNatsFiles, credsFile: file('u.creds', text) });
    else if (kind === 1) readNatsFiles({ ...noNatsFiles, nkeyFile: file('u.nk', seedText) });
    else {
      const [certFile, caFile, keyFile] = [
        file('n.pem', certText),
        file('ca.pem', certText),
        file('nk.pem', key),
      ];
      readNatsFiles({ ...noNatsFiles, certFile, caFile, keyFile });
    }
  },
  codes: ['usage'],
});
