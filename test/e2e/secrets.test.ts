// Secrets in every place where a user can put one: none of them is in what the program prints, in a log
// file, in an argument of a child or in the dumped configuration, least of all when something goes wrong.

import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { startNatsProcess } from '../plane/nats-process.ts';
import { freePlane } from './deployment.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const secret = 'geheim4711';
const at = (uri: string): string => `--request-plane-uri=${uri}`;
const keyFile = world.path('keys');
writeFileSync(keyFile, `${secret}-file name=alice\n`);

/** Runs it to its end; what it printed, after a look that it said something and nothing secret. */
async function said(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { stdout, stderr } = await world.run(args, { env });
  const text = [...stdout, ...stderr].join('\n');
  expect(text.length).toBeGreaterThan(20);
  expect(text).not.toContain(secret);
  return text;
}

describe('--dump-config masks', () => {
  test.each(['api', 'all', 'context', 'generate'])('for %s', async (role) => {
    const uris = `nats://u:${secret}@one:1,tls://${secret}@two:2`;
    const text = await said(
      [`--role=${role}`, '--no-initialize-request-plane', '--dump-config', at(uris)],
      { TDIST_API_KEY: secret, TDIST_API_KEY_FILE: keyFile },
    );
    const { planeUris } = JSON.parse(text);
    expect(planeUris).toEqual(['nats://***@one:1', 'tls://***@two:2']);
    if (role === 'api') expect(JSON.parse(text).apiKeys).toEqual(['***']);
    if (role === 'all') expect(JSON.parse(text).api.apiKeys).toEqual(['***']);
  });

  test('by the old name, and by flags', async () => {
    const flags = ['--dump-config', `--nats-url=u:${secret}@one:1`, `--api-key=${secret}`];
    const text = await said(['--role=api', ...flags]);
    expect(text).toContain('nats://***@one:1');
  });
});

describe('a command line that is refused', () => {
  test.each(
    [
      [at(`http://u:${secret}@h`)],
      [at(`nats://u:${secret}@h/x`)],
      [at(`nats://u:a/${secret}@h`)],
      [at(`nats://u:${secret}`)],
      [at(`u:${secret}@h:99999`)],
      [at(`nats://u:%zz${secret}@h`)],
      [`--nats-url=http://u:${secret}@h`],
      ['--request-plane-uri', 'nats://a:b@c', `nats://u:${secret}@h`],
      ['--api-key', 'a', secret],
      [`--api-key=a,,${secret}`],
      [`--api-key=a b ${secret}`],
      [`--api-kye=${secret}`],
      ['--api-kye', secret],
    ].map((flags) => [flags] as const),
  )('%p', async (flags) => {
    await said(['--role=api', ...flags]);
    await said(['--role=all', ...flags]);
  });

  test.each([
    [at(`u:${secret}@h,u:${secret}@i`)],
    [at(`tls://u:${secret}@h`)],
    [at(`u:${secret}@192.0.2.1:4`)],
  ])('by the start of nats-server: %s', async (flag) => {
    await said(['--role=all', '--log-level=debug', flag]);
  });

  test('by a key file with a key in a wrong place', async () => {
    const path = world.path('bad-keys');
    writeFileSync(path, `good name=x ${secret}\n`);
    await said(['--role=api', `--api-key-file=${path}`]);
  });
});

describe('tools that reach nobody', () => {
  test.each(
    [
      ['doctor', at(`u:${secret}@127.0.0.1:1`)],
      ['doctor', '--json', at(`${secret}@127.0.0.1:1`)],
      ['workers', `--api-url=http://u:${secret}@127.0.0.1:1`],
      ['workers', `--api-url=ftp://u:${secret}@127.0.0.1:1`],
      ['verify', `--api-url=http://u:${secret}@127.0.0.1:1`],
    ].map((words) => [words] as const),
  )('%p', async (words) => {
    await said(words, { TDIST_API_KEY: secret });
  });
});

describe('a connection', () => {
  test('that is refused, or not there: no role says with what it came', async () => {
    const server = await startNatsProcess(world.folder, 'authorization { token: "another" }');
    const logs = world.path('logs');
    try {
      const planes = [`${secret}@127.0.0.1:${server.port}`, `u:${secret}@${await freePlane()}`];
      for (const plane of planes) {
        const env = { TDIST_REQUEST_PLANE_URI: plane, TDIST_API_KEY: `${secret}-env` };
        const flags = ['--log-level=debug', '--api-server-port=0', `--api-key-file=${keyFile}`];
        const api = world.start(['--role=api', ...flags], { env });
        const worker = world.start(['--role=generate', '--log-level=debug'], { env });
        const wanted = /refuses the token of the address|unreachable: .*refused/i;
        await Promise.all([api.line(wanted), worker.line(wanted)]);
        const url = /http:\/\/\S+/.exec(await api.line('Listening on'))?.[0] ?? '';
        const headers = { authorization: `Bearer ${secret}-wrong` };
        const answer = await fetch(`${url}/v1/models`, { headers });
        expect(answer.status).toBe(401);
        expect(await answer.text()).not.toContain(secret);
        await Promise.all([api.stop(), worker.stop()]);
        expect([...api.lines(), ...worker.lines()].join('\n')).not.toContain(secret);
      }
      const env = { TDIST_REQUEST_PLANE_URI: planes[0] ?? '' };
      const flags = ['--no-initialize-request-plane', `--log-dir=${logs}`, '--api-server-port=0'];
      const all = world.start(
        ['--role=all', '--log-level=debug', `--api-key=${secret}`, ...flags],
        { env },
      );
      await all.line('Listening on');
      for (const { pid, command } of world.processes()) {
        if (pid !== all.pid) expect(command).not.toContain(secret);
      }
      await all.stop();
      const files = readdirSync(logs);
      expect(files.length).toBeGreaterThanOrEqual(3);
      const text = files.map((name) => readFileSync(`${logs}/${name}`, 'utf8')).join('\n');
      expect([...all.lines(), text].join('\n')).not.toContain(secret);
    } finally {
      await server.kill();
    }
  });
});

testNothingLeft(world);
