// A stream whose reader stops without hanging up.

import { expect, test } from 'bun:test';
import { eventStream } from '../../src/api/sse.ts';
import { limit } from '../../src/protocol/limit.ts';
import { ManualClock } from '../../src/std/clock.ts';
import type { Fault } from '../../src/std/fault.ts';

function world() {
  const clock = new ManualClock();
  const ends: (Fault | null)[] = [];
  async function* events(): AsyncGenerator<object> {
    for (let i = 0; ; i++) yield { i };
  }
  const stream = eventStream({
    events: events(),
    requestId: 'r',
    clock,
    onEnd: (fault) => ends.push(fault),
    onCancel: () => undefined,
  });
  return { clock, ends, reader: stream.getReader() };
}

test('is given up after a while, once', async () => {
  const { clock, ends, reader } = world();
  await reader.read();
  clock.advance(limit.readerSilenceMs - 1);
  expect(ends).toEqual([]);
  clock.advance(1);
  expect(ends).toMatchObject([{ code: 'cancelled' }]);
  expect(reader.read()).rejects.toThrow('stopped reading');
  expect(clock.pendingCount).toBe(0);
});

test('has its time anew with every read, and none is kept for one that leaves', async () => {
  const { clock, ends, reader } = world();
  for (let i = 0; i < 5; i++) {
    await reader.read();
    clock.advance(limit.readerSilenceMs - 1);
  }
  expect(ends).toEqual([]);
  await reader.cancel();
  expect(clock.pendingCount).toBe(0);
});

const decoder = new TextDecoder();

async function eventCount(reader: ReturnType<typeof world>['reader']): Promise<number> {
  return decoder.decode((await reader.read()).value).split('data: ').length - 1;
}

test('one that keeps up gets an event a write; one that is behind gets what is ready at once', async () => {
  const { clock, reader } = world();
  for (let i = 0; i < 5; i++) expect(await eventCount(reader)).toBe(1);
  clock.advance(limit.readerLateMs);
  expect(await eventCount(reader)).toBe(limit.joinedEventCountMax);
  expect(await eventCount(reader)).toBe(1);
  await reader.cancel();
});

test('nothing is lost, doubled or put out of order by joining, and [DONE] stays alone', async () => {
  const clock = new ManualClock();
  async function* events(): AsyncGenerator<object> {
    for (let i = 0; i < 100; i++) {
      if (i % 7 === 6) await new Promise<void>((resolve) => setImmediate(resolve));
      yield { i };
    }
  }
  const ends: (Fault | null)[] = [];
  const onEnd = (fault: Fault | null): void => void ends.push(fault);
  const onCancel = (): void => undefined;
  const stream = eventStream({ events: events(), requestId: 'r', clock, onEnd, onCancel });
  const reader = stream.getReader();
  const writes: string[] = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    writes.push(decoder.decode(value));
    if (writes.length % 3 === 0) clock.advance(limit.readerLateMs);
  }
  const wanted = Array.from({ length: 100 }, (_, i) => `data: {"i":${i}}\n\n`).join('');
  expect(writes.slice(0, -1).join('')).toBe(wanted);
  expect(writes.length).toBeLessThan(60);
  expect(writes.at(-1)).toBe('data: [DONE]\n\n');
  expect(ends).toEqual([null]);
});

test('events are made when they are asked for: a reader that stands still holds up their making', async () => {
  let made = 0;
  async function* events(): AsyncGenerator<object> {
    for (;;) yield { i: made++ };
  }
  const clock = new ManualClock();
  const none = (): void => undefined;
  const stream = eventStream({
    events: events(),
    requestId: 'r',
    clock,
    onEnd: none,
    onCancel: none,
  });
  const reader = stream.getReader();
  await reader.read();
  for (let turn = 0; turn < 50; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  expect(made).toBe(1);
  await reader.cancel();
});
