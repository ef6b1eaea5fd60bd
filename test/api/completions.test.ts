// POST /v1/completions as a client sees it.

import { describe, expect, test } from 'bun:test';
import { limit } from '../../src/protocol/limit.ts';
import type { TokenLogprobs } from '../../src/protocol/request.ts';
import { bytesOf, endOfTextId, imEndId, tinyVocabSize } from '../text/tiny-tokenizer.ts';
import { deltas, type Script, says } from './fake-cluster.ts';
import { eventsOf, jsonOf, openWorld, type World } from './world.ts';

const path = '/v1/completions';

function ask(world: World, fields: Readonly<Record<string, unknown>>): Promise<Response> {
  return world.post(path, { model: 'llama', ...fields });
}

async function refusal(fields: Readonly<Record<string, unknown>>): Promise<string> {
  await using world = openWorld();
  const response = await ask(world, fields);
  expect(response.status).toBe(400);
  const { error } = await jsonOf(response);
  expect(error.type).toBe('invalid_request_error');
  expect(world.cluster.requests).toEqual([]);
  return error.param;
}

/** −id/1000; of the likeliest the first is another token. */
function scoreOf(id: number, count: number): TokenLogprobs {
  const top = Array.from({ length: count }, (_, i): [number, number] => [
    (id + 1 + i) % tinyVocabSize,
    -0.01 - i,
  ]);
  return { logprob: -id / 1000, top };
}

/** As a worker: logprobs of the prompt in two parts, then `ids` one by one. */
function judges(ids: readonly number[]): Script {
  return async function* ({ promptIds, sampling }) {
    const { promptLogprobs, logprobs } = sampling;
    if (promptLogprobs !== null) {
      const scores = promptIds.slice(1).map((id) => scoreOf(id, promptLogprobs));
      for (const part of [scores.slice(0, 1), scores.slice(1)]) {
        if (part.length > 0) yield { ids: [], scores: part, finish: null };
      }
    }
    for (const [i, id] of ids.entries()) {
      const own = logprobs === null ? {} : { logprobs: [scoreOf(id, logprobs)] };
      yield { ids: [id], ...own, finish: i === ids.length - 1 ? 'length' : null };
    }
  };
}

describe('one prompt', () => {
  test('the exact object; 16 tokens unless said otherwise; no template', async () => {
    await using world = openWorld(says('hello'));
    const response = await ask(world, { prompt: 'ab' });
    const [request] = world.cluster.requests;
    expect(request?.promptIds).toEqual(bytesOf('ab'));
    expect(request?.sampling.maxTokens).toBe(16);
    expect(await jsonOf(response)).toEqual({
      id: `cmpl-${request?.requestId}`,
      object: 'text_completion',
      created: expect.any(Number),
      model: 'llama',
      system_fingerprint: 'tdist-1.2.3',
      choices: [
        { index: 0, text: 'hello', logprobs: null, finish_reason: 'stop', stop_reason: null },
      ],
      usage: {
        prompt_tokens: 2,
        completion_tokens: 5,
        total_tokens: 7,
        prompt_tokens_details: { cached_tokens: 3 },
        completion_tokens_details: { reasoning_tokens: 0 },
      },
    });
  });

  test('streamed: no role, one chunk a token, the finish with the last text', async () => {
    await using world = openWorld(deltas({ ids: bytesOf('abc'), finish: 'length' }));
    const events = await eventsOf(await ask(world, { prompt: 'x', stream: true }));
    expect(events.map((event) => Object(event).choices)).toEqual([
      [{ index: 0, text: 'a', logprobs: null, finish_reason: null }],
      [{ index: 0, text: 'b', logprobs: null, finish_reason: null }],
      [{ index: 0, text: 'c', logprobs: null, finish_reason: 'length', stop_reason: null }],
    ]);
    expect(events.every((event) => Object(event).object === 'text_completion')).toBeTrue();
  });

  test('token ids are taken as they are, and told on request', async () => {
    await using world = openWorld(says('z'));
    const ids = [imEndId, ...bytesOf('é')];
    const body = { prompt: ids, return_token_ids: true };
    const { choices } = await jsonOf(await ask(world, body));
    expect(world.cluster.requests[0]?.promptIds).toEqual(ids);
    expect(choices[0]).toMatchObject({ prompt_token_ids: ids, token_ids: bytesOf('z') });
    const events = await eventsOf(await ask(world, { ...body, stream: true }));
    expect(Object(events[0]).choices[0]).toMatchObject({ prompt_token_ids: ids, token_ids: [122] });
    expect(Object(events[1]).choices[0]).not.toHaveProperty('prompt_token_ids');
  });
});

describe('several prompts', () => {
  const saysPrompt: Script = async function* ({ promptIds, sampling: { seed } }) {
    yield { ids: [...promptIds, ...bytesOf(String(seed))], finish: 'length' };
  };

  test.each([[['a', 'b']], [[bytesOf('a'), bytesOf('b')]]])(
    'are numbered prompt by prompt (%#)',
    async (prompt) => {
      await using world = openWorld(saysPrompt);
      const fields = { prompt, n: 2, seed: 7, max_tokens: 9 };
      const { choices, usage } = await jsonOf(await ask(world, fields));
      const texts = choices.map(({ text }: { text: string }) => text);
      expect(texts).toEqual(['a7', 'a8', 'b7', 'b8']);
      expect(choices.map(({ index }: { index: number }) => index)).toEqual([0, 1, 2, 3]);
      expect(usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 8 });
      expect(usage.prompt_tokens_details.cached_tokens).toBe(6);
      const events = await eventsOf(await ask(world, { ...fields, stream: true }));
      const streamed = ['', '', '', ''];
      for (const event of events) {
        const [{ index, text }] = Object(event).choices;
        streamed[index] += text;
      }
      expect(streamed).toEqual(texts);
    },
  );
});

describe('echo and logprobs', () => {
  test('lists are parallel, the first prompt token has none, the token is among its own', async () => {
    await using world = openWorld(judges(bytesOf('cd')));
    const fields = { prompt: 'ab', echo: true, logprobs: 2, max_tokens: 2, temperature: 0 };
    const { choices } = await jsonOf(await ask(world, fields));
    expect(choices[0].text).toBe('abcd');
    expect(choices[0].logprobs).toEqual({
      tokens: ['a', 'b', 'c', 'd'],
      token_logprobs: [null, -0.098, -0.099, -0.1],
      top_logprobs: [
        null,
        { b: -0.098, c: -0.01, d: -1.01 },
        { c: -0.099, d: -0.01, e: -1.01 },
        { d: -0.1, e: -0.01, f: -1.01 },
      ],
      text_offset: [0, 1, 2, 3],
    });
    expect(world.cluster.requests[0]?.sampling).toMatchObject({ promptLogprobs: 2, logprobs: 2 });
  });

  test('streamed: the prompt leaves with the first chunk, offsets go on', async () => {
    await using world = openWorld(judges(bytesOf('c€d')));
    const fields = { prompt: 'é', echo: true, logprobs: 0, stream: true, max_tokens: 5 };
    const events = await eventsOf(await ask(world, fields));
    const choices = events.map((event) => Object(event).choices[0]);
    expect(choices.map(({ text }) => text)).toEqual(['éc', '€', 'd']);
    expect(choices.map(({ logprobs }) => logprobs.text_offset)).toEqual([
      [0, 0, 1],
      [2, 2, 2],
      [3],
    ]);
  });

  test("lm-eval's request: prompt + 1 entries, floats equal to the bit", async () => {
    await using world = openWorld(judges(bytesOf('d')));
    const prompt = [bytesOf('abc')];
    const fields = { prompt, temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true };
    const { logprobs } = (await jsonOf(await ask(world, fields))).choices[0];
    expect(logprobs.token_logprobs).toHaveLength(4);
    for (const [i, logprob] of logprobs.token_logprobs.slice(1).entries()) {
      expect(logprobs.top_logprobs[i + 1][logprobs.tokens[i + 1]]).toBe(logprob);
    }
  });

  test('tokens that print alike do not hide each other', async () => {
    const ids = [0xff];
    const top: [number, number][] = [
      [0xfe, -0.1],
      [0xff, -0.5],
      [0xfd, -3],
    ];
    const script = deltas({ ids, logprobs: [{ logprob: -0.5, top }], finish: 'length' });
    await using world = openWorld(script);
    const { choices } = await jsonOf(await ask(world, { prompt: 'a', logprobs: 3 }));
    const wanted = { '\ufffd': -0.5, 'token_id:254': -0.1, 'token_id:253': -3 };
    expect(choices[0].logprobs.top_logprobs).toEqual([wanted]);
  });

  test('max_tokens 0 looks at the prompt alone', async () => {
    await using world = openWorld(judges(bytesOf('z')));
    const fields = { prompt: 'ab', echo: true, logprobs: 0, max_tokens: 0 };
    const { choices, usage } = await jsonOf(await ask(world, fields));
    expect(choices[0]).toMatchObject({ text: 'ab', finish_reason: 'length' });
    expect(choices[0].logprobs.tokens).toEqual(['a', 'b']);
    expect(usage.completion_tokens).toBe(0);
    expect(
      await jsonOf(await ask(world, { prompt: 'ab', echo: true, max_tokens: 0 })),
    ).toMatchObject({ choices: [{ text: 'ab', logprobs: null }] });
  });

  test('choices of one prompt share its logprobs, which are computed once', async () => {
    await using world = openWorld(judges(bytesOf('c')));
    const fields = { prompt: 'ab', echo: true, logprobs: 0, max_tokens: 1, n: 2, seed: 1 };
    const { choices } = await jsonOf(await ask(world, fields));
    expect(choices[1].logprobs).toEqual(choices[0].logprobs);
    const asked = world.cluster.requests.map(({ sampling }) => sampling.promptLogprobs);
    expect(asked).toEqual([0, null]);
  });

  test('without logprobs nothing is computed for the prompt', async () => {
    await using world = openWorld(judges(bytesOf('c')));
    expect((await jsonOf(await ask(world, { prompt: 'ab', echo: true }))).choices[0].text).toBe(
      'abc',
    );
    expect(world.cluster.requests[0]?.sampling.promptLogprobs).toBeNull();
  });

  test('a forced hand-over is refused: logprobs are not handed over', async () => {
    await using world = openWorld(judges(bytesOf('c')));
    const headers = { 'x-tdist-force-route': 'disaggregated' };
    const fields = { prompt: 'ab', echo: true, logprobs: 0 };
    expect((await world.post(path, fields, { headers })).status).toBe(400);
  });
});

describe('best_of', () => {
  test('draws more and answers the likeliest, by the mean over their tokens', async () => {
    const script: Script = async function* ({ sampling: { seed, logprobs } }) {
      expect(logprobs).toBe(0);
      const mean = [-2, -0.5, -1][seed] ?? 0;
      for (let i = 0; i < seed + 1; i++) {
        yield { ids: bytesOf(String(seed)), logprobs: [{ logprob: mean, top: [] }], finish: null };
      }
      yield { ids: [], finish: 'stop' };
    };
    await using world = openWorld(script);
    const fields = { prompt: 'a', best_of: 3, n: 2, seed: 0 };
    const { choices, usage } = await jsonOf(await ask(world, fields));
    expect(choices).toMatchObject([
      { index: 0, text: '11', logprobs: null },
      { index: 1, text: '222', logprobs: null },
    ]);
    expect(usage.completion_tokens).toBe(6);
  });

  test('refused where it cannot be', async () => {
    expect(await refusal({ prompt: 'a', best_of: 1, n: 2 })).toBe('best_of');
    expect(await refusal({ prompt: 'a', best_of: 2, stream: true })).toBe('best_of');
    expect(await refusal({ prompt: 'a', best_of: 2, temperature: 0 })).toBe('best_of');
    expect(await refusal({ prompt: 'a', best_of: 17 })).toBe('best_of');
  });
});

describe('refused by name', () => {
  test.each([
    [{}, 'prompt'],
    [{ prompt: null }, 'prompt'],
    [{ prompt: '' }, 'prompt'],
    [{ prompt: 5 }, 'prompt'],
    [{ prompt: {} }, 'prompt'],
    [{ prompt: [] }, 'prompt'],
    [{ prompt: [[]] }, 'prompt.0'],
    [{ prompt: [''] }, 'prompt.0'],
    [{ prompt: ['a', 5] }, 'prompt.1'],
    [{ prompt: [5, 'a'] }, 'prompt.1'],
    [{ prompt: [[5], 'a'] }, 'prompt.1'],
    [{ prompt: [-1] }, 'prompt.0'],
    [{ prompt: [1.5] }, 'prompt.0'],
    [{ prompt: [1e12] }, 'prompt'],
    [{ prompt: [tinyVocabSize] }, 'prompt'],
    [{ prompt: Array.from({ length: 1025 }, () => 'a') }, 'prompt'],
    [{ prompt: Array.from({ length: limit.promptCountMax }, () => 'a'), n: 5 }, 'n'],
    [{ prompt: 'a', suffix: 'b' }, 'suffix'],
    [{ prompt: 'a', max_tokens: 0 }, 'max_tokens'],
    [{ prompt: 'a', max_tokens: -1 }, 'max_tokens'],
    [{ prompt: 'a', logprobs: 21 }, 'logprobs'],
    [{ prompt: 'a', logprobs: -1 }, 'logprobs'],
    [{ prompt: 'a', logprobs: true }, 'logprobs'],
    [{ prompt: 'a', n: 2, temperature: 0 }, 'n'],
    [{ prompt: 'a', prompt_embeds: 'x' }, 'prompt_embeds'],
    [{ prompt: 'a'.repeat(300) }, 'prompt'],
  ])('%j', async (fields, param) => {
    expect(await refusal(fields)).toBe(param);
  });

  test('a prompt as long as the context, and one token less', async () => {
    await using world = openWorld(says('z'));
    expect((await ask(world, { prompt: new Array(256).fill(endOfTextId) })).status).toBe(400);
    expect((await ask(world, { prompt: new Array(255).fill(endOfTextId) })).status).toBe(200);
    expect(world.cluster.requests[0]?.sampling.maxTokens).toBe(1);
  });
});
