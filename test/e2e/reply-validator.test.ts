// The validator itself: it takes what OpenAI publishes, and nothing beside it.

import { describe, expect, test } from 'bun:test';
import { checkBody, checkedFetch, StreamChecker } from './reply-validator.ts';

const chatPath = '/v1/chat/completions';
const head = { id: 'chatcmpl-0a', created: 1, model: 'm', system_fingerprint: 'f' };
const usage = {
  prompt_tokens: 2,
  completion_tokens: 1,
  total_tokens: 3,
  prompt_tokens_details: { cached_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 0 },
};
const message = { role: 'assistant', content: 'a', refusal: null };
const choice = { index: 0, message, logprobs: null, finish_reason: 'stop' };
const chat = { object: 'chat.completion', ...head, choices: [choice], usage };
const error = { message: 'm', type: 'server_error', param: null, code: null };

describe('a body', () => {
  test('of the published shape, and an error', () => {
    checkBody(chatPath, 200, chat);
    checkBody(chatPath, 400, { error });
    checkBody('/v1/models', 200, { object: 'list', data: [] });
    checkBody('/workers', 200, { anything: 1 });
  });

  test.each<[string, object]>([
    ['a field of nobody', { ...chat, extra: 1 }],
    ['a field of nobody inside', { ...chat, choices: [{ ...choice, extra: 1 }] }],
    ['no usage', { ...chat, usage: undefined }],
    ['a usage that is no sum', { ...chat, usage: { ...usage, total_tokens: 4 } }],
    [
      'no calls as a list',
      { ...chat, choices: [{ ...choice, message: { ...message, tool_calls: [] } }] },
    ],
    ['an unknown end', { ...chat, choices: [{ ...choice, finish_reason: 'abort' }] }],
    ['a number twice', { ...chat, choices: [choice, choice] }],
    ['an id of another route', { ...chat, id: 'cmpl-0a' }],
    ['an error with 200', { error }],
  ])('with %s is refused', (_name, body) => {
    expect(() => checkBody(chatPath, 200, body)).toThrow("not of OpenAI's shape");
  });

  test('an error without its fields is refused', () => {
    expect(() => checkBody('/workers', 404, { error: 'no' })).toThrow("not of OpenAI's shape");
  });
});

function streamOf(path: string, events: readonly (object | '[DONE]')[]): void {
  const checker = new StreamChecker(path);
  for (const event of events) {
    checker.event(typeof event === 'string' ? event : JSON.stringify(event));
  }
  checker.end();
}

describe('a stream of chunks', () => {
  const chunk = (delta: object, finish_reason: string | null = null, more: object = {}) => {
    const choices = [{ index: 0, delta, logprobs: null, finish_reason }];
    return { object: 'chat.completion.chunk', ...head, choices, ...more };
  };
  const first = chunk({ role: 'assistant', content: 'a' });
  const last = chunk({ content: 'b' }, 'stop');
  const done = '[DONE]' as const;

  test('that is whole, or broken off with an error', () => {
    streamOf(chatPath, [first, last, done]);
    streamOf(chatPath, [first, last, { ...first, choices: [], usage }, done]);
    streamOf(chatPath, [first, { error }, done]);
  });

  test.each<[string, readonly (object | '[DONE]')[]]>([
    ['without [DONE]', [first, last]],
    ['without an end', [first, done]],
    ['with two ends', [first, last, last, done]],
    ['without a role', [last, done]],
    ['with two roles', [first, first, last, done]],
    ['with two ids', [first, { ...last, id: 'chatcmpl-0b' }, done]],
    ['with an empty chunk', [first, { ...first, choices: [] }, last, done]],
    ['with text behind [DONE]', [first, last, done, last]],
  ])('%s is refused', (_name, events) => {
    expect(() => streamOf(chatPath, events)).toThrow(chatPath);
  });
});

describe('a stream of events', () => {
  test.each<[string, readonly object[]]>([
    [
      'that only ends',
      [{ type: 'error', sequence_number: 0, code: null, message: 'm', param: null }],
    ],
    ['of an unknown event', [{ type: 'response.queued', sequence_number: 0 }]],
  ])('%s is refused', (_name, events) => {
    expect(() => streamOf('/v1/responses', events)).toThrow('/v1/responses');
  });
});

test('nobody but this machine is called', async () => {
  await expect(checkedFetch('https://api.openai.com/v1/models')).rejects.toThrow('api.openai.com');
});
