// Tool calls and thoughts over HTTP, from models whose text a test writes down.

import { describe, expect, test } from 'bun:test';
import OpenAI from 'openai';
import type { ChatCompletionRunner } from 'openai/lib/ChatCompletionRunner';
import type { ServedModel, TextAssets } from '../../src/protocol/request.ts';
import { bytesOf, imEndId, tinyAssets, tinyTokenizerJson } from '../text/tiny-tokenizer.ts';
import { deltas, llama, type Script, says } from './fake-cluster.ts';
import { eventsOf, jsonOf, openWorld, type World } from './world.ts';

const parameters = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
};
const weather = { type: 'function', function: { name: 'get_weather', parameters } } as const;
const add = { type: 'function', function: { name: 'add' } } as const;
const tools = [weather, add];

const json = '{"city": "Paris"}';
const call = `<tool_call>\n{"name": "get_weather", "arguments": ${json}}\n</tool_call>`;
const second = '<tool_call>{"name": "add", "arguments": {}}</tool_call>';

/** @param assets another text side than the tiny one. */
function worldOf(
  script: Script | string,
  served: Partial<ServedModel> = {},
  assets: TextAssets | null = null,
): World {
  const world = openWorld(typeof script === 'string' ? says(script) : script);
  const textDigest = assets === null ? llama.textDigest : 'own';
  world.cluster.served = [
    { ...llama, maxModelLen: 2048, textDigest, toolParser: 'hermes', ...served },
  ];
  if (assets !== null) world.cluster.assets = async () => assets;
  return world;
}

async function wholeOf(world: World, fields: Record<string, unknown> = {}) {
  return (await jsonOf(await world.chat({ tools, ...fields }))).choices[0];
}

describe('a whole answer', () => {
  test('with a call: no content, arguments as text, finish_reason tool_calls', async () => {
    await using world = worldOf(call);
    const choice = await wholeOf(world);
    expect(choice).toEqual({
      index: 0,
      message: {
        role: 'assistant',
        content: null,
        refusal: null,
        tool_calls: [
          {
            id: expect.stringMatching(/^call_[0-9a-f]{24}$/),
            type: 'function',
            function: { name: 'get_weather', arguments: json },
          },
        ],
      },
      logprobs: null,
      finish_reason: 'tool_calls',
      stop_reason: null,
    });
  });

  test('without one there is no tool_calls', async () => {
    await using world = worldOf('Sunny.');
    const { message, finish_reason: finish } = await wholeOf(world);
    expect(message).toEqual({ role: 'assistant', content: 'Sunny.', refusal: null });
    expect(finish).toBe('stop');
  });

  test('parallel calls have their own ids; parallel_tool_calls false keeps the first', async () => {
    await using world = worldOf(`I look.\n${call}\n${second}`);
    const { message } = await wholeOf(world);
    expect(message.content).toBe('I look.\n');
    expect(message.tool_calls.map((each: typeof add) => each.function.name)).toEqual([
      'get_weather',
      'add',
    ]);
    expect(new Set(message.tool_calls.map(({ id }: { id: string }) => id)).size).toBe(2);
    const single = await wholeOf(world, { parallel_tool_calls: false });
    expect(single.message.tool_calls).toHaveLength(1);
    expect(single.finish_reason).toBe('tool_calls');
  });

  test.each([
    ['a tool that there is not', '<tool_call>{"name": "rm", "arguments": {}}</tool_call>'],
    ['a call that is cut off', call.slice(0, 40)],
  ])('%s is text', async (_what, text) => {
    await using world = worldOf(text);
    const { message, finish_reason: finish } = await wholeOf(world);
    expect(message).toEqual({ role: 'assistant', content: text, refusal: null });
    expect(finish).toBe('stop');
  });

  test('text stays text without tools, with tool_choice none, and without a parser', async () => {
    await using world = worldOf(call);
    expect((await wholeOf(world, { tools: null })).message.content).toBe(call);
    expect((await wholeOf(world, { tool_choice: 'none' })).message.content).toBe(call);
    world.cluster.served = [llama];
    expect((await wholeOf(world)).message.content).toBe(call);
  });

  test('cut off by its length it says so', async () => {
    const ids = bytesOf(call);
    await using world = worldOf(deltas({ ids, finish: 'length' }));
    expect((await wholeOf(world)).finish_reason).toBe('length');
  });

  test('ids for Mistral have the form that its templates want', async () => {
    await using world = worldOf(`[TOOL_CALLS] [{"name": "add", "arguments": {}}]`, {
      toolParser: 'mistral',
    });
    const { message } = await wholeOf(world);
    expect(message.tool_calls[0].id).toMatch(/^[0-9a-f]{9}$/);
  });

  test('logprobs and ids stay complete', async () => {
    const ids = bytesOf(call);
    const logprobs = ids.map(() => ({ logprob: -1, top: [] }));
    await using world = worldOf(deltas({ ids, logprobs, finish: 'stop' }));
    const choice = await wholeOf(world, { logprobs: true, return_token_ids: true });
    expect(choice.logprobs.content).toHaveLength(ids.length);
    expect(choice.token_ids).toEqual(ids);
  });
});

describe('a call that is demanded', () => {
  const named = { type: 'function', function: { name: 'get_weather' } };
  const list = `[{"name": "get_weather", "arguments": ${json}}]`;

  test('required: the whole answer is calls, of any model', async () => {
    await using world = worldOf(list, { toolParser: null, reasoningParser: 'think' });
    const { message, finish_reason: finish } = await wholeOf(world, { tool_choice: 'required' });
    expect(message.content).toBe(null);
    expect(message.tool_calls).toMatchObject([
      { function: { name: 'get_weather', arguments: json } },
    ]);
    expect(finish).toBe('tool_calls');
    expect(world.cluster.requests[0]?.sampling.grammar).not.toBe(null);
  });

  test('required of a model that marks its calls: in its own marks', async () => {
    await using world = worldOf(`${second}\n${second}`);
    const { message } = await wholeOf(world, { tool_choice: 'required' });
    expect(message.tool_calls).toHaveLength(2);
    expect(message.content).toBe(null);
    expect(world.cluster.requests[0]?.sampling.grammar).toMatchObject({
      wrap: { begin: '<tool_call>', countMax: 16 },
    });
  });

  test('named: the answer is the arguments, which stream; it ends with stop', async () => {
    await using world = worldOf(json);
    const { message, finish_reason: finish } = await wholeOf(world, { tool_choice: named });
    expect(message.content).toBe(null);
    expect(message.tool_calls[0].function).toEqual({ name: 'get_weather', arguments: json });
    expect(finish).toBe('stop');
    const events = await eventsOf(await world.chat({ tools, tool_choice: named, stream: true }));
    const calls = events.flatMap(
      (event) => (event as OpenAI.ChatCompletionChunk).choices[0]?.delta.tool_calls ?? [],
    );
    expect(calls).toHaveLength(json.length + 1);
    expect(calls.filter(({ id }) => id !== undefined)).toHaveLength(1);
  });

  test('an answer in a form that the client asked for is not searched for calls', async () => {
    await using world = worldOf('{"name": "add", "parameters": {}}', { toolParser: 'llama3_json' });
    const fields = { response_format: { type: 'json_object' } };
    expect((await wholeOf(world, fields)).message.tool_calls).toBeUndefined();
    expect((await wholeOf(world)).message.tool_calls).toHaveLength(1);
  });
});

describe('a stream', () => {
  test('begins each call once, then sends arguments alone, and finishes', async () => {
    await using world = worldOf(`Ok ${call}${second}`);
    const events = await eventsOf(await world.chat({ tools, stream: true }));
    const choices = events.map((event) => (event as OpenAI.ChatCompletionChunk).choices[0]);
    const deltasSent = choices.map((choice) => choice?.delta);
    expect(deltasSent[0]).toEqual({ role: 'assistant', content: 'O' });
    const calls = deltasSent.flatMap((delta) => delta?.tool_calls ?? []);
    const id = expect.stringMatching(/^call_/);
    expect(calls).toEqual([
      { index: 0, id, type: 'function', function: { name: 'get_weather', arguments: '' } },
      { index: 0, function: { arguments: json } },
      { index: 1, id, type: 'function', function: { name: 'add', arguments: '' } },
      { index: 1, function: { arguments: '{}' } },
    ]);
    expect(choices.filter((choice) => choice?.finish_reason !== null)).toHaveLength(1);
    expect(choices.at(-1)?.finish_reason).toBe('tool_calls');
  });

  test('that begins with a call has its role and no content', async () => {
    await using world = worldOf(second);
    const [first] = await eventsOf(await world.chat({ tools, stream: true }));
    expect((first as OpenAI.ChatCompletionChunk).choices[0]?.delta).toMatchObject({
      role: 'assistant',
      content: null,
    });
  });

  test('long arguments arrive while they are written', async () => {
    const long = JSON.stringify({ city: 'x'.repeat(3000) });
    const text = `<tool_call>{"name": "get_weather", "arguments": ${long}}</tool_call>`;
    await using world = worldOf(text);
    const events = await eventsOf(await world.chat({ tools, stream: true }));
    const calls = events.flatMap(
      (event) => (event as OpenAI.ChatCompletionChunk).choices[0]?.delta.tool_calls ?? [],
    );
    expect(calls.length).toBeGreaterThan(900);
    expect(calls.map((delta) => delta.function?.arguments).join('')).toBe(long);
  });

  test('each of several choices has its own calls', async () => {
    await using world = worldOf(call);
    const events = await eventsOf(await world.chat({ tools, stream: true, n: 2 }));
    for (const index of [0, 1]) {
      const own = events
        .flatMap((event) => (event as OpenAI.ChatCompletionChunk).choices)
        .filter((choice) => choice.index === index);
      const sent = own.flatMap(({ delta }) => delta.tool_calls ?? []);
      expect(sent.map((delta) => delta.function?.arguments).join('')).toBe(json);
      expect(own.at(-1)?.finish_reason).toBe('tool_calls');
    }
  });
});

describe('the openai package', () => {
  const clientOf = (world: World): OpenAI =>
    new OpenAI({ baseURL: `${world.server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  const messages = [{ role: 'user', content: 'Weather in Paris?' }] as const;

  test('its streaming helper puts calls together', async () => {
    await using world = worldOf(`Ok ${call}${second}`);
    const stream = clientOf(world).chat.completions.stream({
      model: 'llama',
      messages: [...messages],
      tools,
    });
    const { choices } = await stream.finalChatCompletion();
    expect(choices[0]?.finish_reason).toBe('tool_calls');
    expect(choices[0]?.message.content).toBe('Ok ');
    expect(choices[0]?.message.tool_calls).toMatchObject([
      { type: 'function', function: { name: 'get_weather', arguments: json } },
      { type: 'function', function: { name: 'add', arguments: '{}' } },
    ]);
  });

  test.each([false, true])(
    'runTools calls the function and gives its result back, stream %p',
    async (stream) => {
      await using world = worldOf((request, signal) => {
        const isFirst = world.cluster.requests.length === 1;
        return says(isFirst ? call : 'It is sunny.')(request, signal);
      });
      const asked: unknown[] = [];
      const tool = {
        type: 'function',
        function: {
          name: 'get_weather',
          description: 'The weather',
          parameters,
          parse: JSON.parse,
          function: (args: { city: string }) => {
            asked.push(args);
            return 'sunny';
          },
        },
      } as const;
      const request = { model: 'llama', messages: [...messages], tools: [tool] };
      const { completions } = clientOf(world).chat;
      const runner: Pick<ChatCompletionRunner, 'finalContent'> = stream
        ? completions.runTools({ ...request, stream })
        : completions.runTools(request);
      expect(await runner.finalContent()).toBe('It is sunny.');
      expect(asked).toEqual([{ city: 'Paris' }]);
      expect(world.cluster.requests).toHaveLength(2);
    },
  );
});

describe('thoughts', () => {
  const text = '<think>\nHm.\n</think>\n\nParis.';

  test('are apart from the answer, under both names', async () => {
    await using world = worldOf(text, { reasoningParser: 'think' });
    const { message, finish_reason: finish } = await wholeOf(world, { tools: null });
    expect(message).toEqual({
      role: 'assistant',
      reasoning: 'Hm.',
      reasoning_content: 'Hm.',
      content: 'Paris.',
      refusal: null,
    });
    expect(finish).toBe('stop');
  });

  test('are counted, sent or not', async () => {
    await using world = worldOf(text, { reasoningParser: 'think' });
    for (const fields of [{}, { include_reasoning: false }]) {
      const { usage } = await jsonOf(await world.chat(fields));
      expect(usage.completion_tokens).toBe(text.length);
      // From the last letter of the first mark to that of the second.
      expect(usage.completion_tokens_details.reasoning_tokens).toBe('>\nHm.\n</think>'.length);
    }
    world.cluster.script = says('Paris.');
    const plain = await jsonOf(await world.chat());
    expect(plain.usage.completion_tokens_details.reasoning_tokens).toBe(0);
  });

  test('in a stream they come first', async () => {
    await using world = worldOf(text, { reasoningParser: 'think' });
    const events = await eventsOf(await world.chat({ stream: true }));
    const sent = events.map((event) => (event as OpenAI.ChatCompletionChunk).choices[0]?.delta);
    expect(sent[0]).toEqual({
      role: 'assistant',
      reasoning: 'H',
      reasoning_content: 'H',
      content: null,
    } as object);
    const all = sent.map((delta) => Object.values(delta ?? {}).at(-1) ?? '').join('');
    expect(all).toContain('m.Paris.');
  });

  test('a template that opens the mark', async () => {
    const template = '{{ messages[0].content }}{% if add_generation_prompt %}<think>\n{% endif %}';
    const served = { reasoningParser: 'think' } as const;
    await using world = worldOf('Hm.</think>Paris.', served, tinyAssets(template));
    const { message } = await wholeOf(world, { tools: null });
    expect(message).toMatchObject({ reasoning: 'Hm.', content: 'Paris.' });
  });

  test('cut off, there is no content; unwanted, they are left out', async () => {
    await using world = worldOf('<think>Hm', { reasoningParser: 'think' });
    expect((await wholeOf(world, { tools: null })).message).toMatchObject({
      reasoning: 'Hm',
      content: null,
    });
    world.cluster.script = says(text);
    const { message } = await wholeOf(world, { tools: null, include_reasoning: false });
    expect(message).toEqual({ role: 'assistant', content: 'Paris.', refusal: null });
  });

  test('before a call', async () => {
    await using world = worldOf(`<think>${call}</think>\n\n${call}`, { reasoningParser: 'think' });
    const { message, finish_reason: finish } = await wholeOf(world);
    expect(message).toMatchObject({ reasoning: call, content: null });
    expect(message.tool_calls).toHaveLength(1);
    expect(finish).toBe('tool_calls');
  });
});

test('a mark that is a special token is seen, and other special tokens stay unseen', async () => {
  const markId = imEndId + 2;
  const tokenizer = tinyTokenizerJson();
  const known = tokenizer['added_tokens'] as object[];
  const mark = { ...known[0], id: markId, content: '[TOOL_CALLS]' };
  const ids = [imEndId, markId, ...bytesOf('add[ARGS]{"a": 1}')];
  await using world = worldOf(
    deltas({ ids, finish: 'stop' }),
    { toolParser: 'mistral', vocabSize: markId + 1 },
    { ...tinyAssets(), tokenizer: { ...tokenizer, added_tokens: [...known, mark] } },
  );
  const { message } = await wholeOf(world);
  expect(message.content).toBe(null);
  expect(message.tool_calls[0].function).toEqual({ name: 'add', arguments: '{"a": 1}' });
  expect((await wholeOf(world, { tools: null })).message.content).toBe('add[ARGS]{"a": 1}');
});
