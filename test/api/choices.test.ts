// Several answers to one prompt, as a client sees them.

import { describe, expect, test } from 'bun:test';
import type { TokenDelta } from '../../src/protocol/request.ts';
import { Fault } from '../../src/std/fault.ts';
import { bytesOf } from '../text/tiny-tokenizer.ts';
import { type Script, stalls } from './fake-cluster.ts';
import { eventsOf, jsonOf, openWorld } from './world.ts';

/** Answers with the seed in letters: 0 is `a`, 1 `bb`, 2 `ccc`, … */
const saysSeed: Script = async function* ({ sampling: { seed } }) {
  const letter = 'a'.charCodeAt(0) + seed;
  for (let i = 0; i <= seed; i++) yield { ids: [letter], finish: null };
  yield { ids: [], finish: 'stop' };
};

/** Each choice ends only when the test lets it. */
function gated(): { readonly script: Script; readonly open: PromiseWithResolvers<void>[] } {
  const open = [0, 1, 2].map(() => Promise.withResolvers<void>());
  const script: Script = async function* ({ sampling: { seed } }): AsyncGenerator<TokenDelta> {
    yield { ids: bytesOf(String(seed)), finish: null };
    await open[seed]?.promise;
    yield { ids: bytesOf('!'), finish: 'length' };
  };
  return { script, open };
}

type Choice = {
  readonly index: number;
  readonly delta: { readonly role?: string; readonly content?: string };
  readonly finish_reason: string | null;
};

const choicesOf = (events: readonly unknown[]): Choice[] =>
  events.flatMap((event) => Object(event).choices);

describe('n', () => {
  test('choice k draws with seed + k; the prompt counts once, completions are summed', async () => {
    await using world = openWorld(saysSeed);
    const { choices, usage } = await jsonOf(await world.chat({ n: 3, seed: 0 }));
    expect(choices.map((choice: { index: number }) => choice.index)).toEqual([0, 1, 2]);
    const texts = choices.map((choice: { message: { content: string } }) => choice.message.content);
    expect(texts).toEqual(['a', 'bb', 'ccc']);
    const promptTokens = world.cluster.requests[0]?.promptIds.length ?? 0;
    expect(usage).toMatchObject({ prompt_tokens: promptTokens, completion_tokens: 6 });
    expect(usage.prompt_tokens_details.cached_tokens).toBe(3);
  });

  test('the first goes ahead; the others follow its first token to where its KV is', async () => {
    const { script, open } = gated();
    await using world = openWorld(script);
    const answer = world.chat({ n: 3, seed: 0 });
    await world.cluster.askedTimes(1);
    expect(world.cluster.requests).toHaveLength(1);
    expect(world.cluster.requests[0]).toMatchObject({ shared: true });
    expect(world.cluster.requests[0]).not.toHaveProperty('warm');
    await world.cluster.askedTimes(3);
    for (const request of world.cluster.requests.slice(1)) {
      expect(request).toMatchObject({ shared: true, warm: ['context-1', 'generate-1'] });
    }
    for (const gate of open) gate.resolve();
    expect((await answer).status).toBe(200);
  });

  test('stream: all role chunks in order before any text, one finish each, one usage', async () => {
    await using world = openWorld(saysSeed);
    const fields = { n: 3, seed: 0, stream: true, stream_options: { include_usage: true } };
    const events = await eventsOf(await world.chat(fields));
    const choices = choicesOf(events);
    expect(choices.slice(0, 3)).toEqual(
      [0, 1, 2].map((index) => ({
        index,
        delta: { role: 'assistant', content: '' },
        logprobs: null,
        finish_reason: null,
      })),
    );
    for (const index of [0, 1, 2]) {
      const own = choices.filter((choice) => choice.index === index).slice(1);
      expect(own.every(({ delta }) => delta.role === undefined)).toBeTrue();
      expect(own.map(({ delta }) => delta.content ?? '').join('')).toHaveLength(index + 1);
      expect(own.filter((choice) => choice.finish_reason !== null)).toHaveLength(1);
      expect(own.at(-1)?.finish_reason).toBe('stop');
    }
    expect(events.filter((event) => Object(event).usage !== null)).toHaveLength(1);
    expect(Object(events.at(-1)).usage.completion_tokens).toBe(6);
  });

  test('a choice that is done does not wait for the others', async () => {
    const { script, open } = gated();
    await using world = openWorld(script);
    const response = await world.chat({ n: 3, seed: 0, stream: true });
    for (const k of [2, 0, 1]) {
      open[k]?.resolve();
    }
    const finished = choicesOf(await eventsOf(response)).filter((c) => c.finish_reason !== null);
    expect(finished.map((choice) => choice.index).sort()).toEqual([0, 1, 2]);
  });

  test('one that fails ends all of them', async () => {
    const script: Script = async function* (request) {
      yield { ids: [97], finish: null };
      if (request.sampling.seed === 1) throw new Fault('engine', 'broken');
      await new Promise<never>(() => undefined);
    };
    await using world = openWorld(script);
    expect((await world.chat({ n: 3, seed: 0 })).status).toBe(500);
    const events = await eventsOf(await world.chat({ n: 3, seed: 0, stream: true }));
    expect(events.at(-1)).toHaveProperty('error');
    expect(world.server.inFlight()).toBe(0);
  });

  test('a client that leaves cancels every choice', async () => {
    await using world = openWorld(stalls('x'));
    const signals: AbortSignal[] = [];
    const { script } = world.cluster;
    world.cluster.script = (request, signal) => {
      signals.push(signal);
      return script(request, signal);
    };
    const leaving = new AbortController();
    const answer = world.chat({ n: 4 }, { signal: leaving.signal }).catch(() => 'left');
    await world.cluster.askedTimes(4);
    const gone = signals.map(
      (signal) => new Promise<void>((done) => signal.addEventListener('abort', () => done())),
    );
    leaving.abort();
    await Promise.all(gone);
    expect(await answer).toBe('left');
  });

  test('a queue of one lets all choices of the one request in', async () => {
    await using world = openWorld(saysSeed, { queueLimit: 1 });
    const { choices } = await jsonOf(await world.chat({ n: 16, seed: 0, max_tokens: 1 }));
    expect(choices).toHaveLength(16);
  });
});
