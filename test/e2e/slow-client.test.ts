// A client that reads nothing for a while: its worker stops decoding for it, others are served at full
// speed, the gateway's memory stays where it was, and when it reads on it gets what everybody gets.

import { expect, test } from 'bun:test';
import { connect } from 'node:net';
import { ask, type ChatBody, question } from './chat.ts';
import { childOf, startAll } from './deployment.ts';
import { procText } from './leftover.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const maxTokens = 3000;
/** Each event has some 2 KiB: more than all buffers between the two hold. */
const long = question('Tell me a story.', {
  ignore_eos: true,
  max_tokens: maxTokens,
  logprobs: true,
  top_logprobs: 20,
  stream: true,
});

/** A client on a raw socket that takes the head of its answer and then stands still. */
async function openSlow(url: string, body: ChatBody) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const parts: Buffer[] = [];
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<Buffer>();
  socket.on('data', (bytes: Buffer) => {
    if (parts.length === 0) socket.pause();
    parts.push(bytes);
    begun.resolve();
  });
  socket.on('end', () => ended.resolve(Buffer.concat(parts)));
  socket.on('error', (error) => ended.reject(error));
  const text = JSON.stringify(body);
  const head = ['POST /v1/chat/completions HTTP/1.1', 'Host: x', 'Connection: close'];
  const length = `Content-Length: ${Buffer.byteLength(text)}`;
  socket.write([...head, 'Content-Type: application/json', length, '', text].join('\r\n'));
  await begun.promise;
  return {
    /** Reads on, to the end: the events. */
    rest: async () => {
      socket.resume();
      return eventsIn(await ended.promise);
    },
  };
}

function residentMiB(pid: number): number {
  const [, pages] = procText(String(pid), 'statm').split(' ');
  return (Number(pages) * 4096) / 2 ** 20;
}

/** Takes the chunks of the transfer encoding apart. */
function eventsIn(answer: Buffer): Token[] {
  const parts: Buffer[] = [];
  for (let at = answer.indexOf('\r\n\r\n') + 4; ; ) {
    const end = answer.indexOf('\r\n', at);
    const size = Number.parseInt(answer.toString('latin1', at, end), 16);
    if (!(size > 0)) break;
    parts.push(answer.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
  const events = Buffer.concat(parts).toString().trimEnd().split('\n\n');
  expect(events.pop()).toBe('data: [DONE]');
  return events.flatMap((event) => JSON.parse(event.slice(6)).choices[0]?.logprobs?.content ?? []);
}

type Token = { readonly token: string; readonly logprob: number };
type Worker = { readonly load: { readonly paused: number } };

test('its request rests at the worker, and nobody else notices', async () => {
  await using all = await startAll(world, ['--max-num-seqs=2']);
  const { program, url } = all;
  const gateway = await childOf(program, '--role=api');
  const paused = async (): Promise<number> => {
    const { data } = (await (await fetch(`${url}/workers`)).json()) as { data: Worker[] };
    return data.reduce((sum, { load }) => sum + load.paused, 0);
  };
  const wanted = await (await openSlow(url, long)).rest();
  const beforeMiB = residentMiB(gateway);
  const slow = await openSlow(url, long);
  await until('the pause', async () => (await paused()) === 1);
  // One slot of two is left: others have it, one after another.
  for (const city of ['Peru', 'France', 'Peru']) {
    const { body } = await ask(url, question(`What is the capital of ${city}?`));
    expect(body.choices[0]?.message.content).toContain(city === 'Peru' ? 'Lima' : 'Paris');
  }
  expect(await paused()).toBe(1);
  expect(residentMiB(gateway) - beforeMiB).toBeLessThan(16);
  expect(await slow.rest()).toEqual(wanted);
  await until('the end of the pause', async () => (await paused()) === 0);

  // Where both slots are wanted, the one that rests gives its own, and waits for one when it goes on. What
  // is computed again sums in another order: a near-tie may fall otherwise from there on, no sooner.
  const slower = await openSlow(url, long);
  await until('the pause', async () => (await paused()) === 1);
  const two = question('Tell me a story.', { ignore_eos: true, max_tokens: 300 });
  const others = await Promise.all([ask(url, two), ask(url, two)]);
  expect(others.map(({ body }) => body.usage.completion_tokens)).toEqual([300, 300]);
  expect(await paused()).toBe(1);
  const found = await slower.rest();
  expect(found).toHaveLength(maxTokens);
  expect(found.slice(0, 500)).toEqual(wanted.slice(0, 500));
}, 400_000);

testNothingLeft(world);
