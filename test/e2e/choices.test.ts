// Several answers to a prompt and completions, on the executable: what is shared is not computed again,
// and every answer is the one that a request of its own would have got.

import { beforeAll, describe, expect, test } from 'bun:test';
import { type Deployment, startAll } from './deployment.ts';
import { checkedFetch } from './reply-validator.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
let all: Deployment;
beforeAll(async () => {
  all = await startAll(world);
});

type Fields = Readonly<Record<string, unknown>>;

async function post(path: string, body: Fields, headers: Record<string, string> = {}) {
  const response = await checkedFetch(`${all.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'llama', ...body }),
  });
  const text = await response.text();
  expect([response.status, text]).toEqual([200, text]);
  return JSON.parse(text);
}

const timed = { 'x-tdist-timing': '1' };
/** Tokens of a KV block. */
const block = 64;
const story = (salt: string): string =>
  `${salt}: ${'The sun was low and the river was wide and slow. '.repeat(24)}Tell me what you saw.`;
const chat = (content: string, fields: Fields): Fields => ({
  messages: [{ role: 'user', content }],
  max_tokens: 12,
  ...fields,
});

const chatPath = '/v1/chat/completions';
const completionPath = '/v1/completions';

describe('n', () => {
  test.each(['disaggregated', 'local'])('%s: one prefill; each as if alone', async (route) => {
    const headers = { ...timed, 'x-tdist-force-route': route };
    const prompt = story(`n ${route}`);
    const fields = { n: 4, seed: 40, temperature: 1 };
    const { choices, usage } = await post(chatPath, chat(prompt, fields), headers);
    const promptTokens = usage.prompt_tokens;
    expect(promptTokens).toBeGreaterThan(4 * block);
    const [first, ...others] = usage.tdist.choices;
    expect(first.cached_tokens).toBeLessThan(block);
    expect(others).toHaveLength(3);
    // A full block is never computed twice; the last token always is.
    for (const { cached_tokens } of others) {
      expect(promptTokens - cached_tokens).toBeLessThanOrEqual(block);
    }
    const texts = choices.map((choice: { message: { content: string } }) => choice.message.content);
    expect(new Set(texts).size).toBeGreaterThan(1);
    for (const [k, text] of texts.entries()) {
      const single = chat(prompt, { ...fields, n: 1, seed: 40 + k });
      expect((await post(chatPath, single)).choices[0].message.content).toBe(text);
    }
  });

  test('a client that leaves frees every choice', async () => {
    const leaving = new AbortController();
    const body = chat('Count from 1 to 60.', {
      n: 8,
      stream: true,
      max_tokens: 400,
      ignore_eos: true,
    });
    const response = await checkedFetch(`${all.url}${chatPath}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'llama', ...body }),
      signal: leaving.signal,
    });
    const reader = response.body?.getReader();
    await reader?.read();
    leaving.abort();
    await until('the cancellation to be counted and no job to be left', async () => {
      const metrics = await (await fetch(`${all.url}/metrics`)).text();
      if (!metrics.includes('tdist_cancellations_total{phase="stream"} 1')) return false;
      const { data } = Object(await (await fetch(`${all.url}/workers`)).json());
      return data.every((one: { load: { jobs: number } }) => one.load.jobs === 0);
    });
  });
});

describe('completions', () => {
  test("a prompt's logprobs: what one token more would have had, at each place", async () => {
    const prompt = 'The capital of France is Paris.';
    const { tokens } = await post('/tokenize', { prompt });
    const judged = { prompt: tokens, echo: true, logprobs: 3, max_tokens: 1, temperature: 0 };
    const { choices } = await post(completionPath, judged);
    const { logprobs } = choices[0];
    expect(logprobs.tokens).toHaveLength(tokens.length + 1);
    expect(logprobs.token_logprobs[0]).toBeNull();
    for (let length = 1; length <= tokens.length; length++) {
      const cut = { prompt: tokens.slice(0, length), logprobs: 3, max_tokens: 1, temperature: 0 };
      const naive = (await post(completionPath, cut)).choices[0].logprobs;
      const found = logprobs.top_logprobs[length];
      for (const [token, logprob] of Object.entries(naive.top_logprobs[0])) {
        expect(Math.abs(found[token] - Number(logprob))).toBeLessThan(1e-3);
      }
      expect(found[logprobs.tokens[length]]).toBe(logprobs.token_logprobs[length]);
    }
    expect(logprobs.tokens.join('')).toBe(choices[0].text);
    expect(logprobs.text_offset[0]).toBe(0);
  });

  test('several prompts at once, each as by itself', async () => {
    const prompt = ['The capital of France is', 'Count: 1, 2, 3,'];
    const { choices, usage } = await post(completionPath, {
      prompt,
      temperature: 0,
      max_tokens: 5,
    });
    expect(choices).toHaveLength(2);
    for (const [index, one] of prompt.entries()) {
      const alone = await post(completionPath, { prompt: one, temperature: 0, max_tokens: 5 });
      expect(choices[index].text).toBe(alone.choices[0].text);
    }
    expect(usage.completion_tokens).toBe(10);
  });

  test('a long prompt judged while others decode, and max_tokens 0', async () => {
    const prompt = story('judged');
    const streams = [1, 2, 3].map((seed) => post(chatPath, chat('Count from 1 to 20.', { seed })));
    const { choices } = await post(completionPath, {
      prompt,
      echo: true,
      logprobs: 0,
      max_tokens: 0,
    });
    const { tokens } = await post('/tokenize', { prompt });
    expect(choices[0].logprobs.token_logprobs).toHaveLength(tokens.length);
    expect(choices[0].text).toBe(prompt);
    await Promise.all(streams);
  });

  test('best_of', async () => {
    const fields = { prompt: 'Once upon a time', best_of: 4, n: 2, seed: 3, logprobs: 0 };
    const { choices, usage } = await post(completionPath, { ...fields, max_tokens: 8 });
    expect(usage.completion_tokens).toBeGreaterThan(choices.length * 8 - 8);
    const mean = (choice: { logprobs: { token_logprobs: number[] } }): number => {
      const list = choice.logprobs.token_logprobs;
      return list.reduce((sum, one) => sum + one, 0) / list.length;
    };
    expect(mean(choices[0])).toBeGreaterThanOrEqual(mean(choices[1]));
  });
});

describe('cache_salt', () => {
  test('KV is found again by the same salt alone', async () => {
    const cached = async (salt: string | null): Promise<number> => {
      const fields = { cache_salt: salt, temperature: 0, max_tokens: 2 };
      const { usage } = await post(chatPath, chat(story('salted'), fields));
      return usage.prompt_tokens_details.cached_tokens;
    };
    expect(await cached('a')).toBeLessThan(block);
    expect(await cached('a')).toBeGreaterThan(4 * block);
    expect(await cached('b')).toBeLessThan(block);
    expect(await cached(null)).toBeLessThan(block);
    expect(await cached(null)).toBeGreaterThan(4 * block);
  });
});

describe('words', () => {
  test('bad_words, allowed_token_ids', async () => {
    const prompt = 'What is the capital of France?';
    const plain = chat(prompt, { temperature: 0 });
    const text = async (fields: Fields): Promise<string> =>
      (await post(chatPath, { ...plain, ...fields })).choices[0].message.content;
    expect(await text({})).toContain('Paris');
    expect(await text({ bad_words: ['Paris'] })).not.toContain('Paris');
    const { tokens } = await post('/tokenize', { prompt: ' Paris' });
    const only = await text({ allowed_token_ids: tokens, max_tokens: 3, ignore_eos: true });
    expect(only).toBe(' Paris Paris Paris');
  });
});

testNothingLeft(world);
