// Two workers under one name with different contents: what one computes must never be fed to the
// other. The gateway keeps them apart and says so.

import { describe, expect, test } from 'bun:test';
import { ask, question } from './chat.ts';
import { freePlane, startApi, untilReady } from './deployment.ts';
import { ModelFolder } from './model-folder.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const timed = { headers: { 'x-tdist-timing': '1' } };
const workerIn = (line: string): string => /worker=(\S+)/.exec(line)?.[1] ?? 'nobody';

describe('a context worker with other weights than the generate worker', () => {
  test.each<[string, (folder: ModelFolder) => ModelFolder]>([
    [
      'one bit of one weight',
      (folder) =>
        folder.weights((bytes) => {
          const at = bytes.length - 1001; // somewhere in the last tensor
          return bytes.fill((bytes[at] ?? 0) ^ 1, at, at + 1);
        }),
    ],
    ['one value of config.json', (folder) => folder.configure({ rope_theta: 10_001 })],
  ])('differing in %s, is never paired with it', async (_name, change) => {
    const plane = await freePlane();
    const flags = [`--request-plane-uri=${plane}`, '--worker-name=llama'];
    const folder = change(new ModelFolder(world.folder));
    await using context = world.start([
      '--role=context',
      '--initialize-request-plane',
      `--model-name=${folder.path}`,
      ...flags,
    ]);
    await using generate = world.start(['--role=generate', ...flags]);
    const contextWorker = workerIn(await context.line('Worker started...'));
    const generateWorker = workerIn(await generate.line('Worker started...'));
    await using api = (await startApi(world, plane)).program;
    const url = /http:\S+/.exec(await api.line('Listening on'))?.[0] ?? '';
    await untilReady(url);
    const warning = await api.line(/WARN .*two contents/);
    expect(warning).toContain(contextWorker);
    expect(warning).toContain(generateWorker);
    for (const country of ['France', 'Japan', 'Peru']) {
      const { response, body } = await ask(
        url,
        question(`What is the capital of ${country}?`),
        timed,
      );
      expect(response.headers.get('x-tdist-route')).toBe('local');
      expect(body.usage.tdist).toMatchObject({ context_worker: null, kv_path: 'none' });
      expect(body.choices[0]?.message.content).toStartWith(`The capital of ${country} is `);
    }
    expect(context.lines().join('\n')).not.toContain('ERROR');
  });
});

testNothingLeft(world);
