// What ends a start before anything runs, said by `tdist doctor` of the same flags: files and folders that
// cannot be read, devices that are not there. And that it leaves nothing.

import { describe, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../src/cli/run.ts';
import { checkDevice } from '../../src/doctor/device-check.ts';
import { sizeOnFirst } from '../../src/doctor/devices.ts';
import { type Finding, failOf } from '../../src/doctor/finding.ts';
import { checkMemory } from '../../src/doctor/model-check.ts';

async function doctor(words: string): Promise<readonly Finding[]> {
  const lines: string[] = [];
  const flags = `--role all --api-server-port 0 --request-plane-uri nats://127.0.0.1:0 ${words}`;
  await run(
    ['doctor', '--json', ...flags.split(' ').filter(Boolean)],
    {},
    {
      out: (text) => lines.push(text),
      err: (text) => lines.push(text),
    },
  );
  const { checks }: { checks: Finding[] } = JSON.parse(lines.join('\n'));
  return checks;
}

test.each([
  ['--tls-cert /nonexist --tls-key /nonexist', 'tls', '--tls-cert', 'a certificate chain'],
  ['--api-key-file /nonexist', 'api keys', '--api-key-file', 'one key a line'],
  ['--log-dir /proc/x', 'log folder', '--log-dir', 'a folder you own'],
  ['--tokenizer /nonexist', 'tokenizer', '--tokenizer', 'a folder in Hugging Face layout'],
  ['--model-name /nonexist', 'model', '--model-name', 'a folder in Hugging Face layout'],
  ['--device cuda', 'device', '--device cuda', '--ort-dir'],
  ['--max-model-len 99999', 'memory', '--max-model-len 99999', 'lower it'],
  [
    '--no-initialize-request-plane --nats-creds-file /nonexist',
    'nats files',
    '--nats-creds-file',
    'nsc generate creds',
  ],
])('%s fails, named with its mend, which is said once', async (words, name, flag, mend) => {
  const found = (await doctor(words)).find((check) => check.name === name);
  expect(found?.status).toBe('fail');
  expect(found?.finding).toContain(flag);
  expect(found?.mend).toContain(mend);
  expect(found?.finding).not.toContain(mend);
});

test('what is there is well, and nothing is left in the folder for logs', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tdist-doctor-test-'));
  try {
    const keys = join(folder, 'keys');
    writeFileSync(keys, 'sk-one\nsk-two\n');
    const logs = join(folder, 'a/b');
    const found = await doctor(`--api-key-file ${keys} --tokenizer tdist/demo --log-dir ${logs}`);
    for (const name of ['api keys', 'tokenizer', 'log folder']) {
      expect([name, found.find((check) => check.name === name)?.status]).toEqual([name, 'ok']);
    }
    expect(readdirSync(folder)).toEqual(['keys']);
    expect(found.some(({ name }) => name === 'device')).toBeFalse();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe('the device', () => {
  const memory = { totalBytes: 80 * 2 ** 30, freeBytes: 60 * 2 ** 30 };
  const facts = { hasVulkan: true, hasGpu: true, cudaDir: '/o', cudaSearched: [], memory };
  const cpu = { device: 'cpu', precision: 'float32' } as const;
  const cuda = { device: 'cuda', precision: 'float16' } as const;

  test('what would be used, and what after it', () => {
    const found = checkDevice('auto', { value: [cuda, cpu] }, facts);
    expect(found).toMatchObject({
      status: 'ok',
      finding:
        '--device auto: cuda in float16, 60.0 GiB of 80.0 GiB free; if that does not work: cpu in float32',
    });
    expect(checkDevice('auto', { value: [cpu] }, facts).finding).toBe(
      '--device auto: cpu in float32',
    );
    const software = checkDevice('webgpu', { value: [cuda] }, { ...facts, hasGpu: false });
    expect(software.status).toBe('warn');
  });

  test('memory is the device’s; without room there, the next one’s', async () => {
    const sizing = { maxModelLen: 8, slots: 2, tokensMax: 16, arenaBytes: 0 };
    const rooms = [
      { name: 'cuda', room: { memory, share: 1, precision: 'float16' } },
      null,
    ] as const;
    const text = async (fits: (isDevice: boolean) => boolean) => {
      const found = await sizeOnFirst(rooms, 2 ** 30, (room) => {
        if (fits(room !== null)) return sizing;
        throw new Error('no room; lower it');
      });
      const sizings = found.map((one) => ({ kind: 'context', ...one }));
      return checkMemory({ freeBytes: 2 ** 30, weightBytes: 2 ** 30, sizings, wantedLen: 8 });
    };
    const [onDevice] = await text((isDevice) => isDevice);
    expect(onDevice?.finding).toStartWith('60.0 GiB free on cuda; context: 512 MiB of weights');
    const [onHost] = await text((isDevice) => !isDevice);
    expect(onHost?.finding).toStartWith('1.0 GiB free; context: 1.0 GiB of weights');
    const [nowhere] = await text(() => false);
    expect(nowhere).toMatchObject({ status: 'fail', mend: 'lower it' });
  });
});

test('a refusal ends with its own mend, or gets one', () => {
  expect(failOf('x', 'a; b; give c', 'd')).toMatchObject({ finding: 'a; b', mend: 'give c' });
  expect(failOf('x', 'a', 'd')).toMatchObject({ finding: 'a', mend: 'd' });
});
