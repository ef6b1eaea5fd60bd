// Two processes that want the same model: one downloads, and the other goes on if that one dies.

import { expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Program } from '../e2e/program.ts';
import { until } from '../e2e/until.ts';
import { etagOf } from './fake-hub.ts';
import { HubWorld, tinyFiles, weightBytes } from './world.ts';

setDefaultTimeout(60_000);
const file = 'model.safetensors';

async function prepared() {
  const world = await HubWorld.open();
  const weights = world.hub.add('org/tiny', tinyFiles()).files.get(file);
  if (weights === undefined) throw new Error('no weights');
  const blob = world.path('blobs', etagOf(weights));
  const env = { HF_ENDPOINT: world.hub.endpoint, HF_HUB_CACHE: world.cacheDir, HOME: world.folder };
  const start = () => {
    const command = [process.execPath, resolve(import.meta.dir, 'pull-main.ts')];
    return new Program(command, { env, cwd: world.folder });
  };
  return { world, weights, blob, start, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

test('they download it once, and both have it', async () => {
  await using it = await prepared();
  await using first = it.start();
  await using second = it.start();
  // No bytes before one of them waits for the other.
  const waits = `Another process downloads ${file}`;
  const waiting = Promise.any([first.line(waits), second.line(waits)]);
  it.world.hub.onBytes = async (name) => {
    if (name === file) await waiting;
  };
  const ends = await Promise.all([first.exit(), second.exit()]);
  expect(ends.map(({ code, stderr }) => ({ code, stderr }))).toEqual([
    { code: 0, stderr: [] },
    { code: 0, stderr: [] },
  ]);
  expect(ends[0].stdout.at(-1)).toBe(ends[1].stdout.at(-1));
  expect(it.world.hub.bytesAsked(file)).toHaveLength(1);
  expect(it.world.hub.bytesAsked('tokenizer.json')).toHaveLength(1);
  const folder = ends[0].stdout.at(-1) ?? '';
  expect(readFileSync(join(folder, file)).equals(it.weights.bytes)).toBeTrue();
});

test('one is killed in the middle: the other takes over from where it was', async () => {
  await using it = await prepared();
  it.world.hub.fault(file, { type: 'silent', afterBytes: 70_000 });
  await using first = it.start();
  await until('the first one’s bytes', () => {
    const found = statSync(`${it.blob}.incomplete`, { throwIfNoEntry: false });
    return found?.size === 70_000;
  });
  await using second = it.start();
  await second.line(`Another process downloads ${file}`);
  first.signal('SIGKILL');
  expect((await second.exit()).code).toBe(0);
  expect(it.world.hub.bytesAsked(file).map(({ range }) => range)).toEqual([null, 'bytes=70000-']);
  expect(statSync(it.blob).size).toBe(weightBytes);
});
