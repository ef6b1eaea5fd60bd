// The three terminals of seed/disaggregated-serving-with-vllm.md section 3, with only the program's
// name and the model's changed, in any order.

import { describe, expect, test } from 'bun:test';
import { freePort } from '../../src/role/free-port.ts';
import { ask, question, seedBody, stream } from './chat.ts';
import { freePlane, untilReady } from './deployment.ts';
import type { Program } from './program.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();

const modelFlags = `--model-name tdist/demo --kv-cache-dtype fp8 --dtype auto --worker-name llama \
--disable-async-output-proc --disable-log-stats --max-model-len 3500 --max-batch-size 10000 \
--gpu-memory-utilization 0.9 --context-tp-size 1 --generate-tp-size 1`;

type Terminal = 'context' | 'generate' | 'api';

/** The seed's three commands on a plane and a port of their own. `role` as a flag, or only counts. */
async function terminals(withRole: boolean) {
  const plane = await freePlane();
  const port = await freePort('localhost');
  const role = (name: Terminal): string => (withRole || name === 'api' ? `--role ${name} ` : '');
  const commands: Readonly<Record<Terminal, { words: string; env: Record<string, string> }>> = {
    context: {
      words: `${role('context')}--context-worker-count 1 --request-plane-uri ${plane} ${modelFlags} \
--initialize-request-plane`,
      env: { CUDA_VISIBLE_DEVICES: '0', VLLM_WORKER_ID: '0', HF_TOKEN: 'hf_none' },
    },
    generate: {
      words: `${role('generate')}--generate-worker-count 1 --request-plane-uri ${plane} ${modelFlags}`,
      env: { CUDA_VISIBLE_DEVICES: '1', VLLM_WORKER_ID: '1', HF_TOKEN: 'hf_none' },
    },
    api: {
      words: `${role('api')}--tokenizer tdist/demo --request-plane-uri ${plane} \
--api-server-host localhost --model-name llama --api-server-port ${port}`,
      env: {},
    },
  };
  const open = (name: Terminal): Program =>
    world.start(commands[name].words.split(/\s+/), { env: commands[name].env });
  return { open, url: `http://localhost:${port}` };
}

/** Asks until the context worker has been found, too: a generate worker alone can serve. */
async function untilDisaggregated(url: string): Promise<void> {
  await until('a disaggregated answer', async () => {
    const { response } = await ask(url, question('Hello'));
    expect(response.status).toBe(200);
    return response.headers.get('x-tdist-route') === 'disaggregated';
  });
}

async function expectSeedAnswer(url: string): Promise<void> {
  const { text, response } = await stream(url, seedBody);
  expect(text).toBe('The capital of France is Paris.');
  expect(response.headers.get('x-tdist-route')).toBe('disaggregated');
}

describe.each<{ order: readonly Terminal[]; withRole: boolean }>([
  { order: ['context', 'generate', 'api'], withRole: true },
  { order: ['context', 'generate', 'api'], withRole: false },
  { order: ['api', 'generate', 'context'], withRole: true },
  { order: ['generate', 'context', 'api'], withRole: true },
  { order: ['api', 'context', 'generate'], withRole: false },
])('started in the order $order, with --role: $withRole', ({ order, withRole }) => {
  test('answers the seed request, and each ends on Ctrl-C', async () => {
    const { open, url } = await terminals(withRole);
    const programs = order.map((name) => [name, open(name)] as const);
    await untilReady(url);
    await untilDisaggregated(url);
    await expectSeedAnswer(url);
    // Whoever runs the request plane goes last; the others need it for their goodbyes.
    const last = (name: Terminal): number => (name === 'context' ? 1 : 0);
    for (const [name, program] of programs.sort(([a], [b]) => last(a) - last(b))) {
      program.signal('SIGINT');
      const { code, stderr } = await program.exit();
      expect([name, code, stderr]).toEqual([name, 0, []]);
    }
  });
});

describe('the gateway before its workers', () => {
  test('says 503 and why, waits with a request, and serves when they have come', async () => {
    const { open, url } = await terminals(true);
    await using api = open('api');
    await api.line('Listening on');
    expect((await fetch(`${url}/health`)).status).toBe(503);
    expect(await (await fetch(`${url}/health`)).text()).toMatch(/request plane .* /);
    const early = stream(url, seedBody);
    await using _context = open('context');
    await until('the plane', async () => {
      const text = await (await fetch(`${url}/health`)).text();
      return text.includes('context ready');
    });
    const { status } = await fetch(`${url}/health/ready`);
    expect(status).toBe(503);
    await using _generate = open('generate');
    expect((await early).text).toBe('The capital of France is Paris.');
    expect((await fetch(`${url}/health`)).status).toBe(200);
  });
});

describe('a model that nobody serves', () => {
  test('is 404 with OpenAI’s code; the gateway serves only its --model-name', async () => {
    const { open, url } = await terminals(true);
    await using _context = open('context');
    await using _generate = open('generate');
    await using _api = open('api');
    await untilReady(url);
    const { response, body } = await ask(url, question('Hello', { model: 'llama-2' }));
    expect(response.status).toBe(404);
    expect(body.error).toMatchObject({
      type: 'invalid_request_error',
      param: 'model',
      code: 'model_not_found',
    });
    expect(body.error?.message).toContain("'llama-2'");
    expect(body.error?.message).toContain("'llama'");
  });
});

testNothingLeft(world);
