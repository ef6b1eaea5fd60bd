// What load generators send and how they read it, against the executable: genai-perf with the seed's
// request shape, aiperf, and vllm bench serve.

import { beforeAll, describe, expect, test } from 'bun:test';
import { samplesOf } from '../telemetry/samples.ts';
import { question } from './chat.ts';
import { type Deployment, startAll } from './deployment.ts';
import { genaiPerfChunks, LoadConnection, vllmBench } from './load-client.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
let all: Deployment;
beforeAll(async () => {
  all = await startAll(world);
});

async function generatedTokens(): Promise<number> {
  const text = await (await fetch(`${all.url}/metrics`)).text();
  return samplesOf(text).get('tdist_generation_tokens_total') ?? 0;
}

const words = 'France apple river seven window quiet orange letter mountain copper'.split(' ');
/** A prompt like no other. */
const synthetic = (seed: number): string =>
  Array.from({ length: 100 }, (_, at) => words[(seed * 7 + at * (3 + (seed % 5))) % 10]).join(' ');

describe('genai-perf', () => {
  test('32 connections, 320 requests, seed 100: 150 tokens each and no error', async () => {
    const before = await generatedTokens();
    const connectionCount = 32;
    const requestCount = 320;
    let next = 0;
    const ends: (string | null)[] = [];
    const run = async (): Promise<void> => {
      const connection = await LoadConnection.open(all.url);
      while (next < requestCount) {
        const body = {
          model: 'llama',
          messages: [{ role: 'user', content: synthetic(next++) }],
          max_tokens: 150,
          min_tokens: 150,
          seed: 100,
        };
        const chunks = genaiPerfChunks((await connection.stream(body)).writes);
        ends.push(chunks.at(-1)?.choices[0]?.finish_reason ?? null);
        const roles = chunks.filter((chunk) => chunk.choices[0]?.delta.role !== undefined);
        expect(roles).toEqual(chunks.slice(0, 1));
      }
      connection.close();
    };
    await Promise.all(Array.from({ length: connectionCount }, run));
    expect(ends).toEqual(new Array<string>(requestCount).fill('length'));
    expect((await generatedTokens()) - before).toBe(requestCount * 150);
  });
});

test('aiperf: its request id comes back, and every chunk has its choice', async () => {
  const connection = await LoadConnection.open(all.url);
  const id = 'b6f7c0a4-0d7e-4d7e-9d55-aiperf:1/2';
  const body = {
    ...question('Count from 1 to 20.'),
    messages: [{ role: 'user', name: 'user', content: 'Count from 1 to 20.' }],
  };
  const { head, writes } = await connection.stream(body, [`X-Request-ID: ${id}`]);
  expect(head.toLowerCase()).toContain(`\r\nx-request-id: ${id}\r\n`);
  const text = genaiPerfChunks(writes).map((chunk) => chunk.choices[0]?.delta.content ?? '');
  expect(text.join('')).toStartWith('1, 2, 3, 4, 5');
  connection.close();
});

test('vllm bench serve: parts as content, the first chunk a token, usage at the end', async () => {
  const connection = await LoadConnection.open(all.url);
  const body = {
    model: 'llama',
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'What is the capital of France?' }] },
    ],
    temperature: 0,
    max_completion_tokens: 40,
    ignore_eos: true,
    stream_options: { include_usage: true },
  };
  const { writes } = await connection.stream(body);
  const { text, firstIsToken, usage } = vllmBench(writes);
  expect(text).toStartWith('The capital of France is Paris.');
  expect(firstIsToken).toBe(true);
  expect(usage?.completion_tokens).toBe(40);
  connection.close();
});

test('a prompt long enough for the encoder thread', async () => {
  const connection = await LoadConnection.open(all.url);
  const long = `${'word '.repeat(2000)}\nWhat is the capital of France?`;
  const { writes } = await connection.stream(question(long, { max_tokens: 5 }));
  expect(genaiPerfChunks(writes).at(-1)?.choices[0]?.finish_reason).toBeOneOf(['length', 'stop']);
  connection.close();
});

testNothingLeft(world);
