// `--role all`, as a newcomer starts it: the seed's request, word for word, and what stands around the
// answer.

import { beforeAll, describe, expect, test } from 'bun:test';
import { ask, jsonOf, question, seedBody, stream } from './chat.ts';
import { type Deployment, startAll } from './deployment.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const france = 'What is the capital of France?';
const timed = { headers: { 'x-tdist-timing': '1' } };
const counting = question('Count from 1 to 20.');

let all: Deployment;
beforeAll(async () => {
  all = await startAll(world);
});

describe('the seed request', () => {
  test('streams its answer in OpenAI chunks, one for each token', async () => {
    const { response, chunks, data, pieces, text } = await stream(all.url, seedBody);
    expect(text).toBe('The capital of France is Paris.');
    expect(pieces).toEqual(['The', ' capital', ' of', ' France', ' is', ' Paris', '.']);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(response.headers.get('x-tdist-route')).toBe('disaggregated');
    expect(response.headers.get('x-request-id')).toMatch(/^[A-Za-z0-9-]{8,}$/);
    const [first] = chunks;
    for (const chunk of chunks) {
      expect(chunk).toMatchObject({
        id: first?.id,
        object: 'chat.completion.chunk',
        created: first?.created,
        model: 'llama',
        system_fingerprint: first?.system_fingerprint,
        choices: [{ index: 0, logprobs: null }],
      });
      expect(chunk.usage).toBeUndefined();
    }
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.role)).toEqual([
      'assistant',
      ...new Array<undefined>(chunks.length - 1).fill(undefined),
    ]);
    expect(chunks.map((chunk) => chunk.choices[0]?.finish_reason)).toEqual([
      ...new Array<null>(chunks.length - 1).fill(null),
      'stop',
    ]);
    expect(data.at(-1)).toBe('[DONE]');
    expect(data.filter((event) => event === '[DONE]')).toHaveLength(1);
  });

  test('tells its timing and who served it, to those who ask', async () => {
    const body = { ...JSON.parse(seedBody), stream_options: { include_usage: true } };
    const { chunks, pieces, usage } = await stream(all.url, body, timed);
    expect(chunks.at(-1)?.choices).toEqual([]);
    expect(usage?.completion_tokens).toBe(pieces.length);
    expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + pieces.length);
    expect(usage?.tdist).toMatchObject({
      route: 'disaggregated',
      context_worker: expect.stringMatching(/^context-[0-9a-f]+$/),
      generate_worker: expect.stringMatching(/^generate-[0-9a-f]+$/),
      kv_path: 'shm',
      cached_tokens: 0,
    });
    const { kv_bytes, prefill_ms, transfer_ms, ttft_ms, total_ms, queue_ms } = usage?.tdist ?? {};
    expect(kv_bytes).toBeGreaterThan(0);
    expect(prefill_ms).toBeGreaterThan(0);
    expect(transfer_ms).toBeGreaterThan(0);
    expect(queue_ms).toBeGreaterThanOrEqual(0);
    expect(total_ms).toBeGreaterThanOrEqual(ttft_ms ?? Number.NaN);
  });

  test('keeps the request id of the caller', async () => {
    const { response, body } = await ask(all.url, question(france), {
      headers: { 'x-request-id': 'mine-1', ...timed.headers },
    });
    expect(response.headers.get('x-request-id')).toBe('mine-1');
    expect(body.usage.tdist?.request_id).toBe('mine-1');
  });

  test('without a stream it is one object', async () => {
    const { response, body } = await ask(all.url, question(france));
    expect(response.status).toBe(200);
    expect(response.headers.get('x-tdist-route')).toBe('disaggregated');
    expect(body).toMatchObject({
      object: 'chat.completion',
      model: 'llama',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'The capital of France is Paris.' },
          finish_reason: 'stop',
        },
      ],
      usage: { completion_tokens: 7 },
    });
  });
});

describe('what a request may ask for', () => {
  test('max_completion_tokens ends with length, and wins over max_tokens', async () => {
    const body = question(france, { max_completion_tokens: 3, max_tokens: 5 });
    const { text, finish } = await stream(all.url, body);
    expect(text).toBe('The capital of');
    expect(finish).toBe('length');
    const one = await stream(all.url, question(france, { max_tokens: 1 }));
    expect([one.text, one.finish]).toEqual(['The', 'length']);
  });

  test('stop strings end the answer before them', async () => {
    const { text, finish } = await stream(all.url, { ...counting, stop: ['7, 8', '11'] });
    expect(text).toBe('1, 2, 3, 4, 5, 6, ');
    expect(finish).toBe('stop');
    const { body } = await ask(all.url, { ...counting, stop: ', 3' });
    expect(body.choices[0]?.message.content).toBe('1, 2');
  });

  test('the same seed draws the same story, others draw others', async () => {
    const story = { temperature: 1.3, max_tokens: 60 };
    const tell = async (seed: number): Promise<string> =>
      (await stream(all.url, question('Tell me a story about a fox.', { ...story, seed }))).text;
    expect(await tell(7)).toBe(await tell(7));
    const stories = await Promise.all([1, 2, 3, 4, 5, 6].map(tell));
    expect(new Set(stories).size).toBeGreaterThan(1);
  });

  test('min_tokens goes on where the model would end', async () => {
    const { body } = await ask(all.url, question(france, { min_tokens: 20, max_tokens: 40 }));
    expect(body.choices[0]?.message.content).toStartWith('The capital of France is Paris.');
    expect(body.usage.completion_tokens).toBeGreaterThanOrEqual(20);
  });

  test('ignore_eos goes on to max_tokens', async () => {
    const { body } = await ask(all.url, question(france, { ignore_eos: true, max_tokens: 50 }));
    expect(body.choices[0]?.finish_reason).toBe('length');
    expect(body.usage.completion_tokens).toBe(50);
  });
});

describe('the other routes', () => {
  test('models, health, liveness and version', async () => {
    const models = await jsonOf<{ data: object[] }>(await fetch(`${all.url}/v1/models`));
    expect(models).toMatchObject({ object: 'list', data: [{ id: 'llama', object: 'model' }] });
    for (const path of ['/v1/models/llama', '/health', '/health/ready', '/live', '/version']) {
      const response = await fetch(`${all.url}${path}`);
      expect([path, response.status]).toEqual([path, 200]);
      await response.json();
    }
  });

  test('a browser may call from http://localhost', async () => {
    const preflight = await fetch(`${all.url}/v1/chat/completions`, {
      method: 'OPTIONS',
      headers: {
        origin: 'http://localhost',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type',
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe('http://localhost');
    expect(preflight.headers.get('access-control-allow-methods')).toContain('POST');
    expect(preflight.headers.get('access-control-allow-headers')).toContain('content-type');
  });
});

describe('its start and its end', () => {
  test('the lines that people and scripts wait for', () => {
    const lines = all.program.lines().join('\n');
    for (const wanted of [
      'Starting nats-server',
      'Worker started...',
      'Starting generate handler...',
      'Starting llama handler...',
      'Workers started ... press Ctrl-C to Exit',
      'Application startup complete.',
      `Listening on ${all.url}`,
    ]) {
      expect(lines).toContain(wanted);
    }
    expect(lines).not.toMatch(/ERROR|^\s+at /m);
  });

  test('Ctrl-C lets a stream finish, then exits 0', async () => {
    const many = question('Count from 1 to 60.', { max_tokens: 300 });
    let first = true;
    const { finish, text } = await stream(all.url, many, {
      onChunk: () => {
        if (first) all.program.signal('SIGINT');
        first = false;
      },
    });
    expect(finish).toBe('stop');
    expect(text).toEndWith('59, 60');
    expect((await all.program.exit()).code).toBe(0);
    expect(world.leftovers()).toEqual([]);
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('a second %s ends at once with %d', async (signal, code) => {
    const { program, url } = await startAll(world);
    const long = question('Hello', { ignore_eos: true, max_tokens: 4000 });
    let first = true;
    const broken = stream(url, long, {
      onChunk: () => {
        if (first) program.signal(signal);
        first = false;
      },
    }).catch(() => 'cut');
    await program.line(`${signal}: finishing what runs`);
    program.signal(signal);
    expect((await program.exit()).code).toBe(code);
    await broken;
    await world.nothingRuns();
  });

  test('the next start sweeps what an end at once has left', async () => {
    const { program } = await startAll(world);
    expect((await program.stop()).code).toBe(0);
    expect(world.leftovers()).toEqual([]);
  });
});

testNothingLeft(world);
