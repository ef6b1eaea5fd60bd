// The parts of the gateway's benchmark: an engine that says what it should, a client that counts right.

import { describe, expect, test } from 'bun:test';
import { Connection } from '../../src/bench/gateway/client.ts';
import { EchoEngine } from '../../src/bench/gateway/echo-engine.ts';
import { longPrompts, measureRequests, measureStreams } from '../../src/bench/gateway/measure.ts';
import type { EngineEvent } from '../../src/protocol/engine.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { deltas, llama } from '../api/fake-cluster.ts';
import { openWorld } from '../api/world.ts';
import { request } from '../plane/cluster.ts';
import { settle } from '../plane/make.ts';
import { bytesOf } from '../text/tiny-tokenizer.ts';

describe('the echo engine', () => {
  const command = (requestId: string, paceMs: number, maxTokens: number) => ({
    type: 'generate' as const,
    requestId,
    promptIds: [1],
    sampling: { ...request().sampling, seed: paceMs, maxTokens },
    priority: 0,
    source: 'local' as const,
  });
  const texts = (events: readonly EngineEvent[]) =>
    events.map((event) =>
      event.type === 'tokens'
        ? `${event.requestId} ${event.first}:${event.ids.join()} ${event.finish ?? ''}`.trim()
        : event.type,
    );

  test('says its words over and over, one step after another, to its pace', async () => {
    const clock = new ManualClock();
    const engine = new EchoEngine(clock, [7, 8]);
    const events: EngineEvent[] = [];
    engine.listen((event) => events.push(event));
    engine.submit(command('a', 20, 3));
    expect(events).toEqual([]);
    await settle();
    clock.advance(0);
    expect(texts(events)).toEqual(['admitted', 'a 0:7']);
    expect(engine.load()).toMatchObject({ running: 1, decoding: 1 });
    clock.advance(19);
    expect(events).toHaveLength(2);
    clock.advance(1);
    clock.advance(20);
    expect(texts(events).slice(2)).toEqual(['a 1:8', 'a 2:7 length']);
    expect(engine.load().running).toBe(0);
    expect(clock.pendingCount).toBe(0);
  });

  test('forgets what is aborted', async () => {
    const clock = new ManualClock();
    const engine = new EchoEngine(clock, [7]);
    const events: EngineEvent[] = [];
    engine.listen((event) => events.push(event));
    engine.submit(command('a', 20, 100));
    engine.submit(command('b', 20, 2));
    await settle();
    clock.advance(0);
    engine.submit({ type: 'abort', requestId: 'a' });
    clock.advance(1000);
    expect(texts(events).slice(2)).toEqual(['a 0:7', 'b 0:7', 'b 1:7 length']);
  });
});

describe('the measuring client', () => {
  /** Four tokens, the last with its finish: four events. */
  const four = deltas(...bytesOf('abc').map((id) => ({ ids: [id], finish: null })), {
    ids: bytesOf('d'),
    finish: 'length',
  });
  const open = () => {
    const world = openWorld(four, { queueLimit: 100 });
    world.cluster.served = [{ ...llama, name: 'echo', maxModelLen: 10_000 }];
    let cpuMs = 0;
    const stage = {
      url: world.server.url,
      isPinned: false,
      cpuMs: () => cpuMs++,
      residentBytes: () => 5,
      [Symbol.asyncDispose]: async () => undefined,
    };
    return { world, stage };
  };

  test('counts events and answers, and notices one that is missing', async () => {
    const { world, stage } = open();
    await using _ = world;
    const load = { streams: 3, tokens: 4, paceMs: 0 };
    const found = await measureStreams(stage, load, longPrompts(stage, 5000));
    expect(found.gapsMs).toHaveLength(9);
    expect(found.residentBytes).toEqual([5, 5]);
    expect(found.cpuUs).toBeCloseTo(1000 / 12);
    await expect(measureStreams(stage, { ...load, tokens: 5 })).rejects.toThrow(
      '4 events came, wanted 5, one for each token',
    );
    const { perS } = await measureRequests(stage, { connections: 2, durationMs: 20 });
    expect(perS).toBeGreaterThan(0);
  });

  test('a refusal ends the measurement', async () => {
    const { world, stage } = open();
    await using _ = world;
    world.cluster.served = [];
    world.cluster.reason = null;
    const connection = await Connection.open(stage.url);
    const ask = { prompt: 'hi', maxTokens: 1, stream: true, paceMs: 0 };
    await expect(connection.ask({ ...ask, maxTokens: 0 })).rejects.toThrow('a request failed');
    connection.close();
  });
});
