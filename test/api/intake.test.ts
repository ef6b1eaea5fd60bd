import { describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type ChatRequest, readChatRequest } from '../../src/api/intake.ts';
import { samplingEntries, seedOf } from '../../src/api/sampling-fields.ts';
import { neutralSampling, samplingSchema } from '../../src/protocol/request.ts';
import { Fault } from '../../src/std/fault.ts';
import { seededChance } from '../../src/std/prng.ts';
import { createLog, silentLog } from '../../src/telemetry/log.ts';

const wishSchema = v.omit(samplingSchema, ['maxTokens', 'badWords']);
const user = { role: 'user', content: 'hi' };

function read(fields: Readonly<Record<string, unknown>>): ChatRequest {
  const body = { model: 'llama', messages: [user], ...fields };
  return readChatRequest(body, { chance: seededChance(1), log: silentLog });
}

function refusal(fields: Readonly<Record<string, unknown>>): Fault {
  try {
    read(fields);
  } catch (thrown) {
    if (thrown instanceof Fault) return thrown;
    throw thrown;
  }
  throw new Error(`accepted: ${JSON.stringify(fields)}`);
}

const tool = { type: 'function', function: { name: 'f', parameters: {} } };

const withSchema = (parameters: object) => ({
  type: 'function',
  function: { name: 'g', parameters },
});

describe('readChatRequest', () => {
  test('defaults, with a seed drawn by chance', () => {
    expect(read({})).toEqual({
      model: 'llama',
      input: {
        messages: [user],
        tools: null,
        addGenerationPrompt: true,
        continuesFinal: false,
        documents: null,
        variables: {},
      },
      addSpecialTokens: false,
      echoed: '',
      toolUse: null,
      showsReasoning: true,
      stream: false,
      promptField: 'messages',
      includeUsage: false,
      continuousUsage: false,
      choiceCount: 1,
      drawCount: 1,
      stops: [],
      badWords: [],
      includeStop: false,
      skipSpecial: true,
      maxTokens: null,
      sampling: {
        ...v.parse(v.omit(wishSchema, ['seed']), neutralSampling),
        seed: BigInt(seededChance(1).u32()),
      },
      formField: null,
      priority: 0,
      cacheSalt: null,
      keepTokens: null,
      keepSide: 'last',
      returnTokenIds: false,
      namesById: false,
    });
  });

  test("the seed's own request, and genai-perf's", () => {
    const first = { temperature: 0, top_p: 0.95, max_tokens: 25, stream: true, n: 1, stop: [] };
    expect(read({ ...first, frequency_penalty: 0.0 })).toMatchObject({ maxTokens: 25, stops: [] });
    expect(read({ stream: true, max_tokens: 150, seed: 100, min_tokens: 150 })).toMatchObject({
      sampling: { minTokens: 150, seed: 100n },
    });
  });

  test('null is absent', () => {
    const names = 'stream_options stop tools n max_tokens model stream';
    const fields = [...names.split(' '), ...Object.keys(samplingEntries)];
    const nulls = Object.fromEntries(fields.map((name) => [name, null]));
    expect(read(nulls)).toEqual({ ...read({}), model: null });
  });

  test('every kind of message', () => {
    const messages = [
      { role: 'developer', content: 'be brief' },
      {
        role: 'user',
        name: 'eve',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{"x":1}' } }],
      },
      { role: 'tool', tool_call_id: 'c1', content: '42' },
    ];
    expect(read({ messages }).input.messages).toEqual([
      { role: 'system', content: 'be brief' },
      { role: 'user', name: 'eve', content: 'a\nb' },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: { x: 1 } } }],
      },
      { role: 'tool', tool_call_id: 'c1', content: '42' },
    ]);
  });

  test('tools as written, unless tool_choice hides them', () => {
    expect(read({ tools: [tool] }).input.tools).toEqual([tool]);
    expect(read({ tools: [tool], tool_choice: 'auto' }).input.tools).toEqual([tool]);
    expect(read({ tools: [tool], tool_choice: 'none' }).input.tools).toBeNull();
  });

  test('what the model may do with tools', () => {
    const tools = [tool, withSchema({ type: 'object' })];
    const named = { type: 'function', function: { name: 'g' } };
    expect(read({}).toolUse).toBeNull();
    expect(read({ tool_choice: 'none' }).toolUse).toBeNull();
    expect(read({ tools, tool_choice: 'none' }).toolUse).toBeNull();
    expect(read({ tools }).toolUse).toMatchObject({ choice: 'auto', isParallel: true });
    expect(read({ tools, parallel_tool_calls: false }).toolUse?.isParallel).toBe(false);
    expect(read({ tools }).sampling.grammar).toBeNull();
    expect(read({ tools, tool_choice: named }).toolUse?.choice).toEqual({ name: 'g' });
    expect(read({ tools, tool_choice: named }).sampling.grammar).toEqual({
      kind: 'json_schema',
      text: '{"type":"object"}',
    });
    const first = { type: 'function', function: { name: 'f' } };
    expect(read({ tools, tool_choice: first }).sampling.grammar).toMatchObject({
      text: '{"type":"object"}',
    });
    expect(read({ tools, tool_choice: 'required' }).toolUse?.choice).toBe('required');
    expect(read({ tools, tool_choice: 'required' }).sampling.grammar).toMatchObject({
      text: expect.stringContaining('"maxItems":16'),
    });
  });

  test('an earlier answer: its thoughts by both names, calls without arguments, no calls', () => {
    const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: ' ' } };
    const messages = [
      user,
      { role: 'assistant', reasoning: 'hm', tool_calls: [call] },
      { role: 'assistant', content: 'so', tool_calls: [] },
    ];
    expect(read({ messages }).input.messages.slice(1)).toEqual([
      {
        role: 'assistant',
        content: null,
        reasoning: 'hm',
        reasoning_content: 'hm',
        tool_calls: [{ ...call, function: { name: 'f', arguments: {} } }],
      },
      { role: 'assistant', content: 'so' },
    ]);
  });

  test('a hair above zero is greedy; seeds beyond 2^53 stay usable and repeatable', () => {
    expect(read({ temperature: 1e-300 }).sampling.temperature).toBe(0);
    const { seed } = read({ seed: 2n ** 63n - 1n }).sampling;
    expect(seed).toBe(2n ** 63n - 1n);
    expect(Number.isSafeInteger(seedOf(seed))).toBe(true);
    expect(seedOf(seed)).not.toBe(seedOf(seed - 1n));
    expect(seedOf(2n ** 53n - 1n)).toBe(Number.MAX_SAFE_INTEGER);
    expect(read({ seed: -5 }).sampling.seed).toBe(-5n);
  });

  test('every sampling field, as numbers', () => {
    const fields = {
      temperature: 0.7,
      top_p: 0.9,
      top_k: -1,
      min_p: 0.05,
      presence_penalty: -2,
      frequency_penalty: 2,
      repetition_penalty: 1.1,
      logit_bias: { 5: -1000, 6: 1.5, 7: 100.5 },
      seed: 3,
      min_tokens: 2,
      stop_token_ids: [9, 9, 10],
      ignore_eos: true,
      include_stop_str_in_output: true,
      skip_special_tokens: false,
      allowed_token_ids: [4, 5, 4],
      logprobs: true,
      top_logprobs: 20,
    };
    const chat = read(fields);
    expect(chat).toMatchObject({ includeStop: true, skipSpecial: false });
    expect(chat.sampling).toEqual({
      temperature: 0.7,
      topP: 0.9,
      topK: 0,
      minP: 0.05,
      presencePenalty: -2,
      frequencyPenalty: 2,
      repetitionPenalty: 1.1,
      logitBias: [
        [5, -100],
        [6, 1.5],
        [7, 100],
      ],
      seed: 3n,
      minTokens: 2,
      stopTokenIds: [9, 10],
      ignoreEos: true,
      allowedTokenIds: [4, 5],
      logprobs: 20,
      promptLogprobs: null,
      grammar: null,
    });
    expect(v.is(v.omit(wishSchema, ['seed']), chat.sampling)).toBeTrue();
    expect(read({ logprobs: true }).sampling.logprobs).toBe(0);
    expect(read({ logprobs: false, top_logprobs: 0 }).sampling.logprobs).toBeNull();
    expect(read({ top_k: 1e15 }).sampling.topK).toBe(0x7fff_ffff);
  });

  test('fields that change nothing are ignored; unknown ones are named in the debug log', () => {
    const lines: string[] = [];
    const log = createLog({ level: 2, name: '', sink: (line) => lines.push(line) });
    const body = { messages: [user], user: 'u', store: true, frobnicate: 1, ['__proto__x']: 2 };
    readChatRequest(body, { chance: seededChance(1), log });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('frobnicate');
    expect(lines[0]).not.toContain('store');
  });

  const halfPair = '\ud83d';
  test.each([
    [{ messages: undefined }, 'messages'],
    [{ messages: 'hi' }, 'messages'],
    [{ messages: [] }, 'messages'],
    [{ messages: [null] }, 'messages.0'],
    [{ messages: [{}] }, 'messages.0.role'],
    [{ messages: [{ role: 123, content: '' }] }, 'messages.0.role'],
    [{ messages: [{ role: 'root', content: '' }] }, 'messages.0.role'],
    [{ messages: [{ role: 'user', content: 123 }] }, 'messages.0.content'],
    [{ messages: [{ role: 'user' }] }, 'messages.0.content'],
    [{ messages: [{ role: 'user', content: [] }] }, 'messages.0.content'],
    [{ messages: [{ role: 'user', content: [{}] }] }, 'messages.0.content.0.type'],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] },
      'messages.0.content.0.type',
    ],
    [{ messages: [{ role: 'user', content: halfPair }] }, 'messages.0.content'],
    [{ messages: [{ role: 'tool', content: 'x' }] }, 'messages.0.tool_call_id'],
    [{ messages: Array.from({ length: 5000 }, () => user) }, 'messages'],
    [{ model: 5 }, 'model'],
    [{ temperature: 'hot' }, 'temperature'],
    [{ temperature: -1 }, 'temperature'],
    [{ temperature: 3 }, 'temperature'],
    [{ temperature: Number.POSITIVE_INFINITY }, 'temperature'],
    [{ top_p: 0 }, 'top_p'],
    [{ top_p: 1.1 }, 'top_p'],
    [{ n: 0 }, 'n'],
    [{ n: 17 }, 'n'],
    [{ n: 2, temperature: 0 }, 'n'],
    [{ seed: 2n ** 63n }, 'seed'],
    [{ seed: '1' }, 'seed'],
    [{ n: 1.5 }, 'n'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ max_tokens: -1 }, 'max_tokens'],
    [{ max_tokens: 1e18 }, 'max_tokens'],
    [{ max_tokens: '5' }, 'max_tokens'],
    [{ max_tokens: 1.5 }, 'max_tokens'],
    [{ max_completion_tokens: true }, 'max_completion_tokens'],
    [{ min_tokens: 5, max_tokens: 4 }, 'min_tokens'],
    [{ stop: '' }, 'stop'],
    [{ stop: [''] }, 'stop.0'],
    [{ stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop'],
    [{ stop: 'x'.repeat(1_000_000) }, 'stop'],
    [{ stop: [1] }, 'stop.0'],
    [{ seed: 1.5 }, 'seed'],
    [{ seed: 2 ** 64 }, 'seed'],
    [{ stream: 'yes' }, 'stream'],
    [{ stream_options: { include_usage: true } }, 'stream_options'],
    [{ stream: true, stream_options: { continuous_usage_stats: true } }, 'stream_options'],
    [{ frequency_penalty: 2.1 }, 'frequency_penalty'],
    [{ frequency_penalty: '1' }, 'frequency_penalty'],
    [{ presence_penalty: -2.1 }, 'presence_penalty'],
    [{ repetition_penalty: 0 }, 'repetition_penalty'],
    [{ repetition_penalty: Number.POSITIVE_INFINITY }, 'repetition_penalty'],
    [{ top_k: -2 }, 'top_k'],
    [{ top_k: 1.5 }, 'top_k'],
    [{ min_p: -0.1 }, 'min_p'],
    [{ min_p: 1.1 }, 'min_p'],
    [{ logit_bias: [] }, 'logit_bias'],
    [{ logit_bias: 'x' }, 'logit_bias'],
    [{ logit_bias: { Paris: 1 } }, 'logit_bias'],
    [{ logit_bias: { 1.5: 1 } }, 'logit_bias'],
    [{ logit_bias: { 5: 'x' } }, 'logit_bias.5'],
    [{ logit_bias: { 5: Number.POSITIVE_INFINITY } }, 'logit_bias.5'],
    [
      { logit_bias: Object.fromEntries(Array.from({ length: 16_385 }, (_, i) => [i, 1])) },
      'logit_bias',
    ],
    [{ stop_token_ids: 5 }, 'stop_token_ids'],
    [{ stop_token_ids: [1.5] }, 'stop_token_ids.0'],
    [{ stop_token_ids: new Array(1025).fill(1) }, 'stop_token_ids'],
    [{ min_tokens: -1 }, 'min_tokens'],
    [{ include_stop_str_in_output: 1 }, 'include_stop_str_in_output'],
    [{ skip_special_tokens: 'no' }, 'skip_special_tokens'],
    [{ logprobs: 5 }, 'logprobs'],
    [{ top_logprobs: 3 }, 'top_logprobs'],
    [{ logprobs: false, top_logprobs: 3 }, 'top_logprobs'],
    [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs'],
    [{ logprobs: true, top_logprobs: -1 }, 'top_logprobs'],
    [{ logprobs: true, top_logprobs: 1.5 }, 'top_logprobs'],
    [{ chat_template: '{{ x }}' }, 'chat_template'],
    [{ tools: [] }, 'tools'],
    [{ tools: [tool, tool] }, 'tools'],
    [{ tools: [{ type: 'function', function: { name: 'a b' } }] }, 'tools.0.function.name'],
    [
      { tools: [{ type: 'function', function: { name: 'f', parameters: 5 } }] },
      'tools.0.function.parameters',
    ],
    [{ tools: [tool], tool_choice: 'any' }, 'tool_choice'],
    [
      { tools: [tool], tool_choice: { type: 'function', function: {} } },
      'tool_choice.function.name',
    ],
    [{ tools: [tool], tool_choice: { type: 'function', function: { name: 'g' } } }, 'tool_choice'],
    [
      { tools: [tool], tool_choice: { type: 'custom', function: { name: 'f' } } },
      'tool_choice.type',
    ],
    [{ tool_choice: 'auto' }, 'tool_choice'],
    [{ tool_choice: 'required' }, 'tool_choice'],
    [{ tool_choice: { type: 'function', function: { name: 'f' } } }, 'tool_choice'],
    [{ tools: [withSchema({ type: 'nonsense' })], tool_choice: 'required' }, 'tools'],
    [{ tools: [withSchema({ type: 'string' })], tool_choice: 'required' }, 'tools'],
    [
      { tools: [tool], tool_choice: 'required', response_format: { type: 'json_object' } },
      'tool_choice',
    ],
    [{ messages: [user, { role: 'tool', content: 'x', tool_call_id: 'c1' }] }, 'messages'],
  ])('refused by name (%#)', (fields, param) => {
    const fault = refusal(fields);
    expect(fault.code).toBe('invalid_request');
    expect(fault.param).toBe(param);
    expect(fault.message.length).toBeLessThan(1000);
  });
});
