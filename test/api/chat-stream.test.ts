import { describe, expect, test } from 'bun:test';
import { Fault } from '../../src/std/fault.ts';
import { bytesOf } from '../text/tiny-tokenizer.ts';
import { deltas, fails, says, stalls } from './fake-cluster.ts';
import { eventsOf, openWorld } from './world.ts';

const streaming = { stream: true };

function choicesOf(events: readonly unknown[]): unknown[] {
  return events.map((event) => Object(event).choices[0]);
}

function choice(
  delta: Record<string, string>,
  finish: string | null = null,
  stopReason: string | null = null,
): unknown {
  const end = finish === null ? {} : { stop_reason: stopReason };
  return { index: 0, delta, logprobs: null, finish_reason: finish, ...end };
}

describe('chat stream', () => {
  test('the exact events: role with the first text, one per token, a finish, [DONE]', async () => {
    await using world = openWorld(says('abc'));
    const response = await world.chat(streaming);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(response.headers.get('cache-control')).toBe('no-cache');
    expect(response.headers.get('x-accel-buffering')).toBe('no');
    expect(response.headers.get('x-tdist-route')).toBe('disaggregated');
    const events = await eventsOf(response);
    const id = `chatcmpl-${world.cluster.requests[0]?.requestId}`;
    for (const event of events) {
      expect(event).toMatchObject({
        id,
        object: 'chat.completion.chunk',
        created: expect.any(Number),
        model: 'llama',
        system_fingerprint: 'tdist-1.2.3',
      });
      expect(event).not.toHaveProperty('usage');
    }
    expect(choicesOf(events)).toEqual([
      choice({ role: 'assistant', content: 'a' }),
      choice({ content: 'b' }),
      choice({ content: 'c' }),
      choice({}, 'stop'),
    ]);
  });

  test('a length finish rides on the last text; several tokens of a delta are several chunks', async () => {
    await using world = openWorld(deltas({ ids: bytesOf('abc'), finish: 'length' }));
    expect(choicesOf(await eventsOf(await world.chat(streaming)))).toEqual([
      choice({ role: 'assistant', content: 'a' }),
      choice({ content: 'b' }),
      choice({ content: 'c' }, 'length'),
    ]);
  });

  test('an empty answer still has its role and its finish', async () => {
    await using world = openWorld(says(''));
    expect(choicesOf(await eventsOf(await world.chat(streaming)))).toEqual([
      choice({ role: 'assistant', content: '' }, 'stop'),
    ]);
  });

  test('half characters and possible stop strings make no chunk of their own', async () => {
    await using world = openWorld(says('é\n.'));
    const events = await eventsOf(await world.chat({ ...streaming, stop: ['\n\n'] }));
    expect(choicesOf(events)).toEqual([
      choice({ role: 'assistant', content: 'é' }),
      choice({ content: '\n.' }),
      choice({}, 'stop'),
    ]);
  });

  test('a stop string across tokens: cut, finish stop, and the work is cancelled', async () => {
    await using world = openWorld(stalls('one END'));
    const events = await eventsOf(await world.chat({ ...streaming, stop: 'END' }));
    const text = choicesOf(events).map((entry) => Object(entry).delta.content ?? '');
    expect(text.join('')).toBe('one ');
    expect(choicesOf(events).at(-1)).toEqual(choice({}, 'stop', 'END'));
    expect(await world.cluster.cancelled.promise).toBe('return');
  });

  test('usage only if asked: in a chunk without choices, null on all others', async () => {
    await using world = openWorld(says('abc'));
    const asked = { ...streaming, stream_options: { include_usage: true } };
    const events = await eventsOf(await world.chat(asked));
    const promptTokens = world.cluster.requests[0]?.promptIds.length ?? 0;
    expect(events.at(-1)).toMatchObject({
      choices: [],
      usage: {
        prompt_tokens: promptTokens,
        completion_tokens: 3,
        total_tokens: promptTokens + 3,
        prompt_tokens_details: { cached_tokens: 3 },
        completion_tokens_details: { reasoning_tokens: 0 },
      },
    });
    expect(events.length).toBe(5);
    for (const event of events.slice(0, -1)) {
      expect(event).toMatchObject({ choices: [{ index: 0 }], usage: null });
    }
  });

  test('continuous usage counts up chunk by chunk', async () => {
    await using world = openWorld(says('ab'));
    const options = { include_usage: true, continuous_usage_stats: true };
    const events = await eventsOf(await world.chat({ ...streaming, stream_options: options }));
    const counts = events.map((event) => Object(event).usage.completion_tokens);
    expect(counts).toEqual([1, 2, 2, 2]);
  });

  test('timing without usage rides on the finish chunk', async () => {
    await using world = openWorld(says('ab'));
    const headers = { 'x-tdist-timing': '1', 'x-request-id': 'mine-1' };
    const events = await eventsOf(await world.chat(streaming, { headers }));
    expect(events).toHaveLength(3);
    const { choices, usage } = Object(events.at(-1));
    expect(choices[0].finish_reason).toBe('stop');
    expect(usage.tdist).toEqual({
      request_id: 'mine-1',
      route: 'disaggregated',
      route_reason: 'measured',
      context_worker: 'context-1',
      generate_worker: 'generate-1',
      kv_path: 'shm',
      kv_path_reason: 'same_host',
      kv_bytes: 4096,
      cached_tokens: 3,
      queue_ms: 1,
      prefill_ms: 2,
      transfer_ms: 0.5,
      ttft_ms: expect.any(Number),
      total_ms: expect.any(Number),
    });
    expect(usage.tdist.total_ms).toBeGreaterThanOrEqual(usage.tdist.ttft_ms);
  });

  test('a failure before the first text has its HTTP status', async () => {
    await using world = openWorld(fails('', new Fault('engine', '/secret/path broke')));
    const response = await world.chat(streaming);
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(text).not.toContain('secret');
    expect(text).toContain(response.headers.get('x-request-id') ?? 'no id');
  });

  test('a failure later is an error event, then [DONE]', async () => {
    await using world = openWorld(fails('ab', new Fault('engine', '/secret/path broke')));
    const events = await eventsOf(await world.chat(streaming));
    expect(events).toHaveLength(3);
    expect(events[2]).toEqual({
      error: {
        message: expect.stringContaining('Internal server error'),
        type: 'server_error',
        param: null,
        code: 'internal',
      },
    });
    expect(world.server.inFlight()).toBe(0);
  });

  test('a cluster that stops without a finish is a failure, not an end', async () => {
    await using world = openWorld(deltas({ ids: [97], finish: null }));
    expect((await eventsOf(await world.chat(streaming))).at(-1)).toHaveProperty('error');
  });
});
