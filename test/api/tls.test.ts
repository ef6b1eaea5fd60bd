// HTTPS from files, and a renewed certificate on the same port while an answer is under way.

import { afterAll, describe, expect, test } from 'bun:test';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { readTls } from '../../src/api/gateway-files.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { authority, certificate } from '../plane/certificate.ts';
import { temporaryFolder } from '../plane/nats-world.ts';
import { bytesOf } from '../text/tiny-tokenizer.ts';
import { eventsOf, openWorld } from './world.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());
const ca = authority('Test CA');
const [one, two] = ['one', 'two'].map((name) =>
  certificate({ name, names: ['127.0.0.1', 'localhost'], signer: ca }),
);
if (one === undefined || two === undefined) throw new Error('no certificates');
const files = { certFile: join(folder.path, 's.pem'), keyFile: join(folder.path, 's.key') };

function write(pair: { readonly pem: string; readonly key: string }): void {
  writeFileSync(files.certFile, pair.pem);
  writeFileSync(files.keyFile, pair.key);
}

function subjectOf(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(new X509Certificate(socket.getPeerCertificate().raw).subject);
      socket.end();
    });
    socket.on('error', reject);
  });
}

const tls = { rejectUnauthorized: false };

test('a renewed certificate is used for new connections; the answer under way goes on', async () => {
  write(one);
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = createLog({ level: 1, sink: (line) => lines.push(line), name: '' });
  const go = Promise.withResolvers<void>();
  const script = async function* () {
    for (const id of bytesOf('a')) yield { ids: [id], finish: null };
    await go.promise;
    yield { ids: bytesOf('b'), finish: 'stop' as const };
  };
  await using world = openWorld(script, { tls: files, clock, log });
  const { port, url } = world.server;
  expect(url).toBe(`https://127.0.0.1:${port}`);
  expect(lines.join('\n')).toContain(`Listening on https://127.0.0.1:${port}`);
  expect(await subjectOf(port)).toBe('CN=one');
  const running = await world.chat({ stream: true }, { tls });
  // Half renewed: the key is not the certificate's. All stays, and says so.
  writeFileSync(files.certFile, two.pem);
  clock.advance(1000);
  expect(lines.at(-1)).toContain('The certificate stays as it was: --tls-key');
  expect(await subjectOf(port)).toBe('CN=one');
  writeFileSync(files.keyFile, two.key);
  clock.advance(1000);
  expect(await subjectOf(port)).toBe('CN=two');
  for (const host of ['x', 'ab', 'localhost']) {
    const init = { tls, keepalive: false, headers: { host } };
    expect((await world.fetch('/live', init)).status).toBe(200);
  }
  go.resolve();
  expect(await eventsOf(running)).toHaveLength(2);
  expect(lines.join('\n')).not.toMatch(/BEGIN|PRIVATE/);
});

describe('wrong files end the start, with flag, path and mend', () => {
  const at = (name: string, text: string): string => {
    const path = join(folder.path, name);
    writeFileSync(path, text);
    return path;
  };
  const oneCert = at('1.pem', one.pem);
  const oneKey = at('1.key', one.key);
  const twoKey = at('2.key', two.key);
  test.each([
    [join(folder.path, 'none'), oneKey, '--tls-cert'],
    [oneCert, join(folder.path, 'none'), '--tls-key'],
    [oneKey, oneCert, 'no certificate in PEM; see its first line, and that both flags are not'],
    [oneCert, at('x.key', 'nothing'), 'no private key in PEM'],
    [oneCert, twoKey, 'is not the key of the first certificate'],
  ])('%s %s', (certFile, keyFile, wanted) => {
    expect(() => readTls({ certFile, keyFile })).toThrow(wanted);
  });
});
