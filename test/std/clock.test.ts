import { describe, expect, test } from 'bun:test';
import { ManualClock, realClock, withDeadline } from '../../src/std/clock.ts';

describe('ManualClock', () => {
  test('stands still until it is moved', () => {
    const clock = new ManualClock();
    expect([clock.nowMs(), clock.epochS()]).toEqual([0, 0]);
    clock.advance(2500);
    expect([clock.nowMs(), clock.epochS()]).toEqual([2500, 2]);
  });

  test('fires timers in order of their due time, each at its own time', () => {
    const clock = new ManualClock();
    const seen: [string, number][] = [];
    const note = (name: string) => () => seen.push([name, clock.nowMs()]);
    clock.after(30, note('c'));
    clock.after(10, note('a'));
    clock.after(20, note('b1'));
    clock.after(20, note('b2'));
    clock.after(31, note('late'));
    clock.advance(9);
    expect(seen).toEqual([]);
    clock.advance(21);
    expect(seen).toEqual([
      ['a', 10],
      ['b1', 20],
      ['b2', 20],
      ['c', 30],
    ]);
    expect(clock.pendingCount).toBe(1);
  });

  test('a timer set by a timer fires within the same advance when it falls due', () => {
    const clock = new ManualClock();
    const seen: number[] = [];
    const again = (): void => {
      seen.push(clock.nowMs());
      clock.after(10, again);
    };
    clock.after(10, again);
    clock.advance(35);
    expect(seen).toEqual([10, 20, 30]);
    expect(clock.nowMs()).toBe(35);
  });

  test('a cancelled timer never fires, cancelled twice neither', () => {
    const clock = new ManualClock();
    let fired = 0;
    const timer = clock.after(5, () => fired++);
    clock.after(5, () => timer.cancel());
    const other = clock.after(6, () => fired++);
    other.cancel();
    other.cancel();
    clock.advance(10);
    expect(fired).toBe(1); // the first was due before the one that would cancel it
    expect(clock.pendingCount).toBe(0);
  });
});

describe('withDeadline', () => {
  const late = (): Error => new Error('late');

  test('passes the value on and leaves no timer', async () => {
    const clock = new ManualClock();
    expect(await withDeadline(clock, 100, Promise.resolve(7), late)).toBe(7);
    expect(clock.pendingCount).toBe(0);
  });

  test('passes a failure on and leaves no timer', async () => {
    const clock = new ManualClock();
    const failing = withDeadline(clock, 100, Promise.reject(new TypeError('work')), late);
    expect(failing).rejects.toThrow(TypeError);
    await failing.catch(() => undefined);
    expect(clock.pendingCount).toBe(0);
  });

  test('a thrown non-error becomes one', async () => {
    const failing = withDeadline(new ManualClock(), 100, Promise.reject('text'), late);
    expect(await failing.catch((error: unknown) => String(error))).toBe('Error: text');
  });

  test('rejects at the limit, not before; what comes later is ignored', async () => {
    const clock = new ManualClock();
    const work = Promise.withResolvers<number>();
    let failure = '';
    const waiting = withDeadline(clock, 100, work.promise, late).catch((error: unknown) => {
      failure = String(error);
    });
    clock.advance(99);
    await Promise.resolve();
    expect(failure).toBe('');
    clock.advance(1);
    await waiting;
    expect(failure).toBe('Error: late');
    work.resolve(1);
    await work.promise;
  });
});

test('the real clock runs forward and its timers can be cancelled', async () => {
  const before = realClock.nowMs();
  const fired: string[] = [];
  await new Promise<void>((resolve) => {
    realClock.after(0, () => fired.push('cancelled')).cancel();
    realClock.after(0, resolve);
  });
  expect(fired).toEqual([]);
  expect(realClock.nowMs()).toBeGreaterThanOrEqual(before);
  expect(realClock.epochS()).toBeGreaterThan(1_700_000_000);
});
