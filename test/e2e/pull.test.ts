// The executable and a hub on this machine: `tdist pull`, and roles whose model is a repository. The
// repository holds the built-in model's files, so that its answers are known.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Finding } from '../../src/doctor/finding.ts';
import { etagOf, FakeHub } from '../hub/fake-hub.ts';
import { seedBody, stream } from './chat.ts';
import { freePlane } from './deployment.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const demo = resolve(import.meta.dir, '../../src/demo/model');
const weights = 'model.safetensors';
const files = Object.fromEntries(
  readdirSync(demo).map((name) => [name, new Uint8Array(readFileSync(join(demo, name)))]),
);

let hub: FakeHub;
beforeAll(async () => {
  hub = await FakeHub.start();
  hub.add('org/tiny', { ...files, 'pytorch_model.bin': new Uint8Array(10) });
  hub.add('org/gated', files).access = 'gated';
  const other = '{"model_type": "mamba", "architectures": ["MambaForCausalLM"]}';
  hub.add('org/mamba', { ...files, 'config.json': other });
  hub.add('org/old', {
    'config.json': '{}',
    'tokenizer.json': '{}',
    'tokenizer_config.json': '{}',
  });
});
afterAll(() => hub.stop());

/** An environment with a cache of its own. */
function envOf(home: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { HF_ENDPOINT: hub.endpoint, HF_HOME: world.path(home), ...more };
}

function startAll(env: Record<string, string>, name = 'org/tiny') {
  const flags = ['--request-plane-uri=localhost:0', '--api-server-port=0'];
  return world.start(['--role=all', ...flags, `--model-name=${name}`], { env });
}

async function answerOf(program: ReturnType<typeof startAll>): Promise<string> {
  const [url = ''] = /http:\S+/.exec(await program.line('Ready: http://')) ?? [];
  return (await stream(url, seedBody)).text;
}

describe('tdist pull', () => {
  test('prints the folder; says on stderr what it does; the second time nothing comes', async () => {
    const env = envOf('first');
    const { code, stdout, stderr } = await world.run(['pull', 'org/tiny'], { env });
    expect({ code, stdout: stdout.length }).toEqual({ code: 0, stdout: 1 });
    expect(stderr[0]).toContain('Downloading org/tiny: 5 files, 12.');
    expect(stderr.at(-1)).toMatch(/^Commit [0-9a-f]{40}: 5 files, 12\.\S+ MiB, 12\.\S+ MiB of it/);
    expect(readdirSync(stdout[0] ?? '').sort()).toEqual(
      Object.keys(files)
        .filter((name) => name !== 'README.md')
        .sort(),
    );
    const again = await world.run(['pull', 'org/tiny', '--json'], { env });
    const found: object = JSON.parse(again.stdout.join('\n'));
    expect(found).toMatchObject({ repository: 'org/tiny', revision: 'main', folder: stdout[0] });
    expect(again.stdout.join('\n')).toContain('"downloaded_bytes": 0');
    expect(again.stderr).toEqual([]);
  });

  test('killed in the middle, the next one goes on there', async () => {
    const env = envOf('killed');
    const weightFile = { bytes: files[weights] ?? new Uint8Array(), isLarge: true };
    const partial = join(
      world.path('killed', 'hub', 'models--org--tiny', 'blobs'),
      `${etagOf(weightFile)}.incomplete`,
    );
    hub.fault(weights, { type: 'silent', afterBytes: 5_000_000 });
    await using program = world.start(['pull', 'org/tiny'], { env });
    await until('five megabytes', () => {
      return statSync(partial, { throwIfNoEntry: false })?.size === 5_000_000;
    });
    program.signal('SIGKILL');
    await program.exit();
    hub.asked.length = 0;
    expect((await world.run(['pull', 'org/tiny'], { env })).code).toBe(0);
    expect(hub.bytesAsked(weights).map(({ range }) => range)).toEqual(['bytes=5000000-']);
  });

  test.each<[string[], number, string[]]>([
    [['org/none'], 1, ['no model org/none']],
    [['org/gated'], 1, ['gated', 'HF_TOKEN']],
    [['org/old'], 1, ['no *.safetensors']],
    [['org/mamba'], 1, ['org/mamba/config.json', 'mamba', 'llama']],
    [['org/tiny@nope'], 1, ['no revision nope']],
    [[], 2, ['ORG/REPO']],
    [['../etc'], 2, ['../etc', 'wanted ORG/REPO']],
    [['org/tiny', '--jsno'], 2, ['--jsno', '--json']],
  ])('%p is one line', async (args, code, wanted) => {
    hub.asked.length = 0;
    const exit = await world.run(['pull', ...args], { env: envOf('refused') });
    expect({ code: exit.code, stdout: exit.stdout }).toEqual({ code, stdout: [] });
    expect(exit.stderr).toHaveLength(1);
    for (const text of wanted) expect(exit.stderr[0]).toContain(text);
    expect(hub.bytesAsked(weights)).toEqual([]);
  });

  test('a token opens what is gated, and is shown nowhere', async () => {
    const env = envOf('gated', { HF_TOKEN: hub.token, TDIST_LOG_LEVEL: 'debug' });
    const { code, stdout, stderr } = await world.run(['pull', 'org/gated'], { env });
    expect(code).toBe(0);
    expect([...stdout, ...stderr].join('\n')).not.toContain(hub.token);
  });
});

describe('--model-name ORG/REPO', () => {
  test('is downloaded once for all workers, and served; then without a hub, too', async () => {
    const env = envOf('served');
    hub.asked.length = 0;
    await using program = startAll(env);
    expect(await answerOf(program)).toBe('The capital of France is Paris.');
    expect(hub.bytesAsked(weights)).toHaveLength(1);
    const revisions = hub.asked.filter(({ path }) => path.includes('/revision/'));
    expect(revisions).toHaveLength(1);
    expect(program.lines().join('\n')).toMatch(/Model loaded model=org\/tiny/);
    await program.stop();

    hub.asked.length = 0;
    await using offline = startAll({ ...env, HF_HUB_OFFLINE: '1' });
    expect(await answerOf(offline)).toBe('The capital of France is Paris.');
    expect(hub.asked).toEqual([]);
    await offline.stop();

    await using alone = startAll({ ...env, HF_ENDPOINT: 'http://127.0.0.1:1' });
    expect(await answerOf(alone)).toBe('The capital of France is Paris.');
    const warned = alone.lines().filter((line) => line.includes('WARN'));
    expect(warned.filter((line) => line.includes('as it is in the cache'))).toHaveLength(1);
  });

  test('of a worker alone, gated: one line, and the end', async () => {
    const args = ['--role=generate', '--request-plane-uri=localhost:1', '--model-name=org/gated'];
    const { code, stderr } = await world.run(args, { env: envOf('worker') });
    expect(code).toBe(1);
    expect(stderr).toEqual([expect.stringMatching(/^tdist: org\/gated is gated/)]);
  });

  test('of a gateway is a name that is served, and nothing is asked', async () => {
    hub.asked.length = 0;
    const args = ['--role=api', `--request-plane-uri=${await freePlane()}`, '--api-server-port=0'];
    await using api = world.start([...args, '--model-name=org/tiny'], { env: envOf('api') });
    await api.line('Listening on http://');
    await api.stop();
    expect(hub.asked).toEqual([]);
  });

  test('a gateway’s --tokenizer is: its texts alone are downloaded', async () => {
    hub.asked.length = 0;
    const args = ['--role=api', `--request-plane-uri=${await freePlane()}`, '--api-server-port=0'];
    await using api = world.start([...args, '--tokenizer=org/tiny'], { env: envOf('text') });
    await api.line('Listening on http://');
    await api.stop();
    expect(hub.bytesAsked('tokenizer.json')).toHaveLength(1);
    expect(hub.bytesAsked(weights)).toEqual([]);
  });

  test('a signal ends a start that still downloads', async () => {
    hub.fault(weights, { type: 'silent', afterBytes: 1000 });
    await using program = startAll(envOf('stopped'));
    await until('the bytes', () => hub.faults.get(weights)?.length === 0);
    expect((await program.stop()).code).toBe(0);
  });
});

test('doctor says what the cache has', async () => {
  const model = async (env: Record<string, string>): Promise<Finding | undefined> => {
    const plane = `--request-plane-uri=${await freePlane()}`;
    const args = ['doctor', '--json', plane, '--api-server-port=0', '--model-name=org/tiny'];
    const { stdout } = await world.run(args, { env });
    const { checks }: { checks: Finding[] } = JSON.parse(stdout.join('\n'));
    return checks.find(({ name }) => name === 'model');
  };
  hub.asked.length = 0;
  const nothing = await model(envOf('doctor'));
  expect(nothing).toMatchObject({ status: 'warn', mend: expect.stringContaining('tdist pull') });
  const offline = await model(envOf('doctor', { HF_HUB_OFFLINE: '1' }));
  expect(offline).toMatchObject({ status: 'fail' });
  expect(hub.asked).toEqual([]);
  await world.run(['pull', 'org/tiny'], { env: envOf('doctor') });
  const whole = await model(envOf('doctor', { HF_HUB_OFFLINE: '1' }));
  expect(whole).toMatchObject({
    status: 'ok',
    finding: expect.stringContaining('org/tiny, in the cache at commit '),
  });
});

testNothingLeft(world);
