// What can be wrong at the start: one clear line, the right exit code, no stack trace, nothing left.

import { describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, statfsSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { freePlane } from './deployment.ts';
import { ModelFolder } from './model-folder.ts';
import type { Exit } from './program.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const broken = (): ModelFolder => new ModelFolder(world.folder);
const model = (folder: ModelFolder): string[] => [
  '--role=generate',
  '--request-plane-uri=localhost:1',
  `--model-name=${folder.path}`,
];

/** Exactly one line of error, which says all of `wanted`; nothing looks like a stack trace. */
function expectFault(exit: Exit, code: number, ...wanted: readonly string[]): void {
  const { stdout, stderr } = exit;
  expect({ code: exit.code, stderr }).toEqual({
    code,
    stderr: [expect.stringMatching(/^tdist: /)],
  });
  for (const text of wanted) expect(stderr[0]).toContain(text);
  expect([...stdout, ...stderr].join('\n')).not.toMatch(/^\s+at |\bError:|\bundefined\b/m);
}

describe('the command line', () => {
  test.each<[string[], string[]]>([
    [
      ['--role=all', '--api-server-prot=1'],
      ['--api-server-prot', '--api-server-port'],
    ],
    [['--role', 'api', '--unheard-of'], ['--unheard-of']],
    [['--role=worker'], ['worker', 'generate']],
    [
      ['--role=api', '--api-server-port=99999'],
      ['--api-server-port', '99999', '65535'],
    ],
    [
      ['--role=generate', '--max-num-seqs=many'],
      ['--max-num-seqs', 'many'],
    ],
    [
      ['--role=generate', '--gpu-memory-utilization=2'],
      ['--gpu-memory-utilization', '2'],
    ],
    [
      ['--role=generate', '--kv-cache-dtype=fp7'],
      ['--kv-cache-dtype', 'fp7', 'fp8'],
    ],
    [
      ['--role=context', '--context-tp-size=2'],
      ['--context-tp-size 2', 'tensor parallelism'],
    ],
    [
      ['--role=all', '--generate-tp-size', '2'],
      ['--generate-tp-size 2', 'tensor parallelism'],
    ],
    [['--role=generate', '--request-plane-uri=http://x'], ['http://x']],
    [['--role=all', '--context-worker-count=0'], ['worker']],
    [
      ['--role=api', '--worker-nmae'],
      ['--worker-nmae', '--worker-name'],
    ],
    [['dmeo'], ['dmeo', 'demo']],
  ])('%p is a usage fault', async (args, wanted) => {
    expectFault(await world.run(args), 2, ...wanted);
  });

  test('a bad value from the environment names the variable', async () => {
    const env = { TDIST_API_SERVER_PORT: 'eighty' };
    expectFault(await world.run(['--role=api'], { env }), 2, 'TDIST_API_SERVER_PORT', 'eighty');
  });

  test('nothing at all is the help text', async () => {
    const { code, stderr } = await world.run([]);
    expect(code).toBe(2);
    expect(stderr.join('\n')).toContain('--role');
  });
});

describe('the model', () => {
  test('a folder that is not there', async () => {
    const path = world.path('no-such-model');
    const exit = await world.run(['--role=generate', `--model-name=${path}`]);
    expectFault(exit, 1, path);
  });

  test('a folder with nothing in it', async () => {
    const path = world.path('empty-model');
    mkdirSync(path);
    expectFault(
      await world.run(['--role=context', `--model-name=${path}`]),
      1,
      path,
      'config.json',
    );
  });

  test.each<[string, () => ModelFolder, string[]]>([
    ['no tokenizer', () => broken().remove('tokenizer.json'), ['tokenizer.json']],
    ['no weights', () => broken().remove('model.safetensors'), ['safetensors']],
    [
      'weights cut short',
      () => broken().weights((bytes) => bytes.subarray(0, bytes.length - 4096)),
      ['model.safetensors'],
    ],
    [
      'weights with a header of noise',
      () => broken().weights((bytes) => bytes.fill(0xa7, 8, 64)),
      ['model.safetensors'],
    ],
    [
      'weights with a header of absurd length',
      () => broken().weights((bytes) => bytes.fill(0xff, 0, 8)),
      ['model.safetensors'],
    ],
    ['weights of no bytes', () => broken().weights(() => new Uint8Array()), ['model.safetensors']],
    ['config that is no JSON', () => broken().write('config.json', '{"a'), ['config.json']],
    ['tokenizer that is no JSON', () => broken().write('tokenizer.json', '<html>'), ['tokenizer']],
    [
      'another architecture',
      () => broken().configure({ architectures: ['MambaForCausalLM'], model_type: 'mamba' }),
      ['MambaForCausalLM', 'LlamaForCausalLM'],
    ],
    ['weights of another shape', () => broken().configure({ intermediate_size: 705 }), ['705']],
    ['a layer too many', () => broken().configure({ num_hidden_layers: 9 }), ['layers.8']],
  ])('%s', async (_name, make, wanted) => {
    expectFault(await world.run(model(make())), 1, ...wanted);
  });

  test('--max-model-len above what the model knows', async () => {
    const exit = await world.run(['--role=baseline', '--max-model-len=5000']);
    expectFault(exit, 1, '--max-model-len 5000', '4096');
  });

  test('--role all with it ends, too, and takes everything with it', async () => {
    const path = world.path('no-such-model');
    const { code, stdout, stderr } = await world.run([
      '--role=all',
      '--request-plane-uri=localhost:0',
      '--api-server-port=0',
      `--model-name=${path}`,
    ]);
    expect(code).toBe(1);
    expect(stderr.length).toBeGreaterThanOrEqual(1);
    for (const line of stderr) expect(line).toStartWith(`tdist: `);
    expect(stderr[0]).toContain(path);
    expect(stdout.join('\n')).toMatch(/ERROR .*(context|generate)-\d cannot start/);
    expect([...stdout, ...stderr].join('\n')).not.toMatch(/^\s+at /m);
    expect(world.leftovers()).toEqual([]);
  });
});

describe('what is taken or too small', () => {
  async function occupied(): Promise<{ server: Server; port: number }> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (typeof address !== 'object' || address === null) throw new Error('no address');
    return { server, port: address.port };
  }

  test('the API’s port', async () => {
    const { server, port } = await occupied();
    const flags = [`--request-plane-uri=${await freePlane()}`, `--api-server-port=${port}`];
    expectFault(await world.run(['--role=api', ...flags]), 1, `${port}`, '--api-server-port');
    server.close();
  });

  test('the API’s port of --role all', async () => {
    const { server, port } = await occupied();
    const flags = ['--request-plane-uri=localhost:0', `--api-server-port=${port}`];
    expectFault(await world.run(['--role=all', ...flags]), 1, `${port}`, '--api-server-port');
    expect(world.leftovers()).toEqual([]);
    server.close();
  });

  test('the request plane’s port', async () => {
    const { server, port } = await occupied();
    const exit = await world.run([
      '--role=context',
      '--initialize-request-plane',
      `--request-plane-uri=127.0.0.1:${port}`,
    ]);
    expectFault(exit, 1, `${port}`, 'taken', 'leave out --initialize-request-plane');
    // `all` starts it without that flag.
    const all = await world.run([
      '--role=all',
      '--api-server-port=0',
      `--request-plane-uri=127.0.0.1:${port}`,
    ]);
    expectFault(all, 1, `${port}`, 'taken', 'add --no-initialize-request-plane');
    server.close();
  });

  test('memory, for the arena', async () => {
    const { blocks, bsize } = statfsSync('/dev/shm');
    const bytes = Math.max(blocks * bsize, 2 ** 30) * 2;
    const exit = await world.run([
      '--role=context',
      '--request-plane-uri=localhost:1',
      `--kv-arena-bytes=${bytes}`,
    ]);
    expectFault(exit, 1, 'MiB of arena', '--kv-arena-bytes');
  });

  test('the folder for logs', async () => {
    const exit = await world.run(['--role=api', '--log-dir=/proc/nowhere']);
    expectFault(exit, 2, '--log-dir', '/proc/nowhere');
    expect(existsSync('/proc/nowhere')).toBeFalse();
  });
});

test.each(['webgpu', 'cuda'])(
  '--device %s without one: what is missing, and the mend',
  async (device) => {
    const flags = ['--role=baseline', '--initialize-request-plane', `--device=${device}`];
    const plane = '--request-plane-uri=nats://127.0.0.1:0';
    const env = { VK_DRIVER_FILES: '/no/such/driver.json' };
    const { code, stderr } = await world.run([...flags, plane], { env });
    // A Vulkan loader that is there has words of its own before.
    expect([code, stderr.at(-1)]).toEqual([
      1,
      expect.stringMatching(new RegExp(`^tdist: --device ${device}: .*; .*--device cpu`)),
    ]);
    await world.nothingLeft();
  },
);

testNothingLeft(world);
