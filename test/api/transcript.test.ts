// Streams as they were once looked at and found right, to the byte: test/api/transcript/*.txt. A change
// of what clients read shows here. `TDIST_WRITE_TRANSCRIPTS=1` writes them anew, to be looked at.

import { expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TokenDelta, TokenLogprobs } from '../../src/protocol/request.ts';
import { realClock } from '../../src/std/clock.ts';
import { Fault } from '../../src/std/fault.ts';
import { bytesOf } from '../text/tiny-tokenizer.ts';
import { deltas, fails, type Script, says } from './fake-cluster.ts';
import { openWorld } from './world.ts';

const clock = { ...realClock, nowMs: () => realClock.nowMs(), epochS: () => 1_700_000_000 };

const logprobOf = (id: number): TokenLogprobs => ({
  logprob: -id / 128,
  top: [
    [id, -id / 128],
    [98, -2.5],
  ],
});

const judged: Script = async function* ({ promptIds, sampling }) {
  if (sampling.promptLogprobs !== null) {
    yield { ids: [], scores: promptIds.slice(1).map(logprobOf), finish: null };
  }
  for (const id of bytesOf('a€')) yield { ids: [id], logprobs: [logprobOf(id)], finish: null };
  yield { ids: [], finish: 'stop' };
};

/** One choice after the other, so that their order is always the same. */
function inTurn(): Script {
  const done = [Promise.resolve(), ...[1, 2, 3].map(() => Promise.withResolvers<void>())];
  return async function* ({ sampling: { seed } }): AsyncGenerator<TokenDelta> {
    const before = done[seed];
    yield { ids: [], finish: null, scores: [] };
    if (before !== undefined && 'promise' in before) await before.promise;
    else await before;
    for (const id of bytesOf(`${seed}!`)) yield { ids: [id], finish: null };
    const next = done[seed + 1];
    if (next !== undefined && 'resolve' in next) next.resolve();
    yield { ids: [], finish: 'stop' };
  };
}

const usage = { stream_options: { include_usage: true } };
const continuous = { stream_options: { include_usage: true, continuous_usage_stats: true } };
const broken = (): Script => fails('ab', new Fault('engine', 'it broke'));

type Case = {
  readonly path?: 'completions';
  readonly script: Script;
  readonly fields: Readonly<Record<string, unknown>>;
};
const cases: Readonly<Record<string, Case>> = {
  chat: { script: says('héy'), fields: {} },
  'chat-length': { script: deltas({ ids: bytesOf('ab'), finish: 'length' }), fields: {} },
  'chat-stop': { script: says('one END'), fields: { stop: ['END'] } },
  'chat-usage': { script: says('ab'), fields: usage },
  'chat-continuous-usage': { script: says('ab'), fields: continuous },
  'chat-logprobs': { script: judged, fields: { logprobs: true, top_logprobs: 2 } },
  'chat-choices': { script: inTurn(), fields: { n: 3, seed: 0, ...usage } },
  'chat-error': { script: broken(), fields: {} },
  completion: { path: 'completions', script: says('héy'), fields: {} },
  'completion-usage': { path: 'completions', script: says('ab'), fields: usage },
  'completion-continuous-usage': { path: 'completions', script: says('ab'), fields: continuous },
  'completion-echo-logprobs': {
    path: 'completions',
    script: judged,
    fields: { echo: true, logprobs: 2, return_token_ids: true },
  },
  'completion-choices': {
    path: 'completions',
    script: inTurn(),
    fields: { n: 3, seed: 0, ...usage },
  },
  'completion-error': { path: 'completions', script: broken(), fields: {} },
};

test.each(Object.entries(cases))('%s', async (name, { path, script, fields }) => {
  await using world = openWorld(script, { clock });
  const headers = { 'x-request-id': 'given-by-the-client' };
  const body = { model: 'llama', stream: true, ...fields };
  const response =
    path === 'completions'
      ? await world.post('/v1/completions', { prompt: 'pq', ...body }, { headers })
      : await world.chat(body, { headers });
  const lines = ['content-type', 'cache-control', 'x-accel-buffering', 'x-request-id']
    .map((header) => `${header}: ${response.headers.get(header)}\n`)
    .join('');
  const found = `${lines}\n${await response.text()}`;
  const file = join(import.meta.dir, 'transcript', `${name}.txt`);
  if (process.env['TDIST_WRITE_TRANSCRIPTS'] === '1') writeFileSync(file, found);
  expect(found).toBe(await Bun.file(file).text());
});
