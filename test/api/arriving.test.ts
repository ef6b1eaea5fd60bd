// Which body is given up when too much of too many is on its way.

import { describe, expect, test } from 'bun:test';
import { shareOf } from '../../src/api/address.ts';
import { type Arrival, Arriving } from '../../src/api/arriving.ts';
import { ManualClock } from '../../src/std/clock.ts';

const bounds = { countMax: 4, bytesMax: 1000, slowMs: 100 };

function world() {
  const clock = new ManualClock();
  const arriving = new Arriving(clock, bounds);
  const lost: string[] = [];
  /** `a1`: of the address `a`. */
  const enter = (name: string, bytes: number): Arrival =>
    arriving.enter({ address: name.slice(0, 1), bytes }, () => lost.push(name));
  return { clock, arriving, lost, enter };
}

describe('bodies on their way', () => {
  test('within the bounds nobody is bothered, however slow', () => {
    const { clock, enter, lost } = world();
    for (const name of ['a1', 'a2', 'a3', 'a4']) enter(name, 250);
    clock.advance(10_000);
    expect(lost).toEqual([]);
  });

  test('too many: whoever has the most loses the oldest, as soon as it is slow', () => {
    const { clock, enter, lost, arriving } = world();
    enter('b1', 900);
    for (const name of ['a1', 'a2', 'a3', 'c1']) enter(name, 1);
    expect(lost).toEqual([]);
    clock.advance(bounds.slowMs - 1);
    expect(lost).toEqual([]);
    clock.advance(1);
    expect(lost).toEqual(['a1']);
    expect([arriving.count, clock.pendingCount]).toEqual([4, 0]);
    enter('c2', 1);
    expect(lost).toEqual(['a1', 'a2']);
  });

  test('too many bytes: whoever holds the most of them loses the largest', () => {
    const { clock, enter, lost, arriving } = world();
    enter('a1', 300);
    enter('b1', 10);
    enter('b2', 400);
    clock.advance(bounds.slowMs);
    enter('c1', 500); // the heaviest, and new
    expect(lost).toEqual(['b2']);
    expect(arriving.bytes).toBe(810);
  });

  test('bytes that were not announced count as they come', () => {
    const { clock, enter, lost } = world();
    const growing = enter('a1', 0);
    enter('b1', 600);
    clock.advance(bounds.slowMs);
    growing.grow(400);
    expect(lost).toEqual([]);
    growing.grow(300);
    expect(lost).toEqual(['a1']);
    growing.grow(300); // it has lost already
    expect(lost).toEqual(['a1']);
  });

  test('what has arrived holds nothing; a burst that arrives in time loses nobody', () => {
    const { clock, enter, lost, arriving } = world();
    const burst = Array.from({ length: 50 }, (_, i) => enter(`a${i}`, 500));
    clock.advance(bounds.slowMs - 1);
    for (const arrival of burst) arrival.leave();
    clock.advance(1000);
    expect([lost, arriving.count, arriving.bytes, clock.pendingCount]).toEqual([[], 0, 0, 0]);
  });
});

test.each([
  ['127.0.0.1', '127.0.0.1'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['::1', '0:0:0:0'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8::6', '2001:db8:0:0'],
  ['', ''],
])('address %p counts as %p', (address, share) => {
  expect(shareOf(address)).toBe(share);
});
