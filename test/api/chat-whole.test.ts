import { describe, expect, test } from 'bun:test';
import { neutralSampling } from '../../src/protocol/request.ts';
import { Fault } from '../../src/std/fault.ts';
import { bytesOf, imEndId, imStartId } from '../text/tiny-tokenizer.ts';
import { deltas, fails, says, stalls } from './fake-cluster.ts';
import { jsonOf, openWorld } from './world.ts';

describe('chat without stream', () => {
  test('the exact object', async () => {
    await using world = openWorld(says('hello'));
    const response = await world.chat();
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('application/json');
    expect(response.headers.get('x-tdist-route')).toBe('disaggregated');
    const [request] = world.cluster.requests;
    const promptTokens = request?.promptIds.length ?? 0;
    expect(await jsonOf(response)).toEqual({
      id: `chatcmpl-${request?.requestId}`,
      object: 'chat.completion',
      created: expect.any(Number),
      model: 'llama',
      system_fingerprint: 'tdist-1.2.3',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'hello', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
          stop_reason: null,
        },
      ],
      usage: {
        prompt_tokens: promptTokens,
        completion_tokens: 5,
        total_tokens: promptTokens + 5,
        prompt_tokens_details: { cached_tokens: 3 },
        completion_tokens_details: { reasoning_tokens: 0 },
      },
    });
  });

  test('what reaches the cluster: template, sampling, an id of our own', async () => {
    await using world = openWorld();
    await world.chat(
      { temperature: 0, top_p: 0.9, seed: 7, max_tokens: 12, min_tokens: 2, ignore_eos: true },
      { headers: { 'x-request-id': 'mine.1' } },
    );
    const [request] = world.cluster.requests;
    expect(request?.requestId).toMatch(/^[0-9a-f]{32}$/);
    expect(request?.model).toBe('llama');
    expect(request?.promptIds).toEqual([
      imStartId,
      ...bytesOf('user\nhi'),
      imEndId,
      ...bytesOf('\n'),
      imStartId,
      ...bytesOf('assistant\n'),
    ]);
    expect(request?.sampling).toEqual({
      ...neutralSampling,
      temperature: 0,
      topP: 0.9,
      seed: 7,
      maxTokens: 12,
      minTokens: 2,
      ignoreEos: true,
    });
  });

  test('max_tokens is what the context has left, unless less is asked', async () => {
    await using world = openWorld();
    for (const fields of [
      {},
      { max_tokens: 100_000 },
      { max_tokens: 9, max_completion_tokens: 4 },
    ]) {
      await world.chat(fields);
    }
    const left = 256 - (world.cluster.requests[0]?.promptIds.length ?? 0);
    expect(world.cluster.requests.map((request) => request.sampling.maxTokens)).toEqual([
      left,
      left,
      4,
    ]);
  });

  test('a prompt that fills the context is refused with the numbers; one less is served', async () => {
    await using world = openWorld();
    await world.chat();
    const overhead = (world.cluster.requests[0]?.promptIds.length ?? 0) - 'hi'.length;
    const ask = (chars: number): Promise<Response> =>
      world.chat({ messages: [{ role: 'user', content: '~'.repeat(chars) }] });
    expect((await ask(255 - overhead)).status).toBe(200);
    const refused = await ask(256 - overhead);
    expect(refused.status).toBe(400);
    expect((await jsonOf(refused)).error).toEqual({
      message: expect.stringMatching(/256 tokens.*context length is 256/),
      type: 'invalid_request_error',
      param: 'messages',
      code: 'context_length_exceeded',
    });
    expect(world.cluster.requests).toHaveLength(2);
  });

  test('stop: cut before the string; tokens counted up to it; the work is cancelled', async () => {
    await using world = openWorld(stalls('one END'));
    const body = await jsonOf(await world.chat({ stop: ['END', 'never'] }));
    expect(body.choices[0]).toMatchObject({
      message: { content: 'one ' },
      finish_reason: 'stop',
    });
    expect(body.usage.completion_tokens).toBe(7);
    expect(await world.cluster.cancelled.promise).toBe('return');
  });

  test('min_tokens: a stop string counts only behind them', async () => {
    await using world = openWorld(says('a.b.c.'));
    const content = async (minTokens: number): Promise<string> =>
      (await jsonOf(await world.chat({ stop: '.', min_tokens: minTokens }))).choices[0].message
        .content;
    expect(await content(0)).toBe('a');
    expect(await content(2)).toBe('a.b');
    expect(await content(6)).toBe('a.b.c.');
  });

  test('held back text comes out at a length finish', async () => {
    await using world = openWorld(deltas({ ids: [...bytesOf('aEN'), 0xf0], finish: 'length' }));
    const body = await jsonOf(await world.chat({ stop: 'END' }));
    expect(body.choices[0]).toMatchObject({
      message: { content: 'aEN\ufffd' },
      finish_reason: 'length',
    });
  });

  test('timing on request', async () => {
    await using world = openWorld();
    const body = await jsonOf(await world.chat({}, { headers: { 'x-tdist-timing': '1' } }));
    expect(body.usage.tdist).toMatchObject({ route: 'disaggregated', kv_bytes: 4096 });
  });

  test('a failure after some text is an error, not half an answer', async () => {
    await using world = openWorld(fails('abc', new Fault('plane', 'nats://user:pw@host lost')));
    const response = await world.chat();
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.text()).not.toContain('user:pw');
  });
});
