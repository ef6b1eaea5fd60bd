// A client that leaves in the middle: the workers stop for it, at once, and serve the next one. How
// far they went is read from the request plane itself, where every token passes.

import { describe, expect, test } from 'bun:test';
import { connect } from 'nats';
import { ask, post, question, stream } from './chat.ts';
import { libraryOptions, planeOf, startAll } from './deployment.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const maxTokens = 4000;
const endless = question('Tell me a story.', { ignore_eos: true, max_tokens: maxTokens });

type Seen = {
  /** Tokens of each request that passed. */
  readonly tokens: Map<string, number>;
  readonly load: Map<string, { running: number; waiting: number }>;
  /** Subject of each prefill that was asked for. */
  readonly prefills: string[];
};

/** Listens to all token chunks and heartbeats. */
async function listen(plane: string) {
  const connection = await connect(libraryOptions(plane));
  const seen: Seen = { tokens: new Map(), load: new Map(), prefills: [] };
  connection.subscribe('tdist.tokens.>', {
    callback: (_error, message) => {
      const { requestId, first, ids } = message.json<{
        requestId: string;
        first: number;
        ids: number[];
      }>();
      const count = Math.max(seen.tokens.get(requestId) ?? 0, first + ids.length);
      seen.tokens.set(requestId, count);
    },
  });
  connection.subscribe('tdist.heartbeat.*', {
    callback: (_error, message) => {
      const { worker, load } = message.json<{
        worker: string;
        load: { running: number; waiting: number };
      }>();
      seen.load.set(worker, load);
    },
  });
  connection.subscribe('tdist.worker.*.prefill', {
    callback: (_error, message) => {
      seen.prefills.push(message.subject);
    },
  });
  await connection.flush();
  return { seen, [Symbol.asyncDispose]: () => connection.close() };
}

/** Until both workers have said in a new heartbeat that they have nothing to do. */
async function untilIdle({ load }: Seen): Promise<void> {
  load.clear();
  await until('workers without load', () => {
    const loads = [...load.values()];
    return loads.length === 2 && loads.every(({ running, waiting }) => running + waiting === 0);
  });
}

/** Reads `count` events and hangs up. */
async function leaveAfter(url: string, count: number, body = endless): Promise<void> {
  const gone = new AbortController();
  let left = count;
  const reading = stream(url, body, {
    signal: gone.signal,
    onChunk: () => {
      if (--left === 0) gone.abort();
    },
  });
  await expect(reading).rejects.toThrow();
}

describe('a client that hangs up', () => {
  test('in the middle of a stream frees the only slot for the next one', async () => {
    await using all = await startAll(world, ['--max-num-seqs=1']);
    const { program, url } = all;
    await using plane = await listen(await planeOf(program));
    await leaveAfter(url, 5);
    const { body } = await ask(url, question('What is the capital of Peru?'));
    expect(body.choices[0]?.message.content).toBe('The capital of Peru is Lima.');
    expect(await program.line('chat cancelled')).toMatch(/tokens=\d+/);
    const counts = [...plane.seen.tokens.values()];
    expect(counts).toHaveLength(2);
    // Its one slot was free for the second request long before the first would have ended.
    expect(counts[0]).toBeLessThan(maxTokens);
  });

  test('many at once: the load of all workers goes back to nothing', async () => {
    await using all = await startAll(world);
    const { program, url } = all;
    await using plane = await listen(await planeOf(program));
    await Promise.all(Array.from({ length: 24 }, (_, i) => leaveAfter(url, 1 + (i % 7))));
    await untilIdle(plane.seen);
    expect([...plane.seen.tokens.values()].filter((count) => count >= maxTokens)).toEqual([]);
    const { body } = await ask(url, question('What is the capital of Peru?'));
    expect(body.choices[0]?.message.content).toBe('The capital of Peru is Lima.');
  });

  test('before the first token, while a long prompt is being encoded', async () => {
    await using all = await startAll(world, ['--max-num-seqs=1']);
    const { program, url } = all;
    await using plane = await listen(await planeOf(program));
    const long = question(`${'The river was quiet at noon. '.repeat(500)} What?`);
    for (let count = 1; count <= 3; count++) {
      const gone = new AbortController();
      const request = post(url, long, { signal: gone.signal });
      await until('the prefill', () => plane.seen.prefills.length === count);
      gone.abort();
      await expect(request).rejects.toThrow();
    }
    const { body } = await ask(url, question('What is the capital of Peru?'));
    expect(body.choices[0]?.message.content).toBe('The capital of Peru is Lima.');
    await untilIdle(plane.seen);
    expect(program.lines().join('\n')).not.toContain('ERROR');
  });
});

testNothingLeft(world);
