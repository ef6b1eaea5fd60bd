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
