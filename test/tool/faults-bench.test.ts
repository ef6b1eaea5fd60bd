// What the faults' benchmark and the soak conclude from what they saw: verdicts, gaps, slopes.

import { describe, expect, test } from 'bun:test';
import type { End, Said } from '../../src/bench/faults/client.ts';
import { emptyRow, rowCells, rowFigures, total } from '../../src/bench/faults/row.ts';
import { gapsAcross, judge } from '../../src/bench/faults/verdict.ts';
import { readFaultWords } from '../../src/bench/faults/words.ts';
import { floors, trendOf, wordFor } from '../../src/bench/soak/slope.ts';
import { readSoakWords } from '../../src/bench/soak/words.ts';

const said = (text: string, finish: string | null = 'stop'): Said => ({ text, finish, atMs: [] });
const right = [said('one two three')];
const whole: End = { kind: 'whole' };
const alive = { gatewayDied: false };

describe('a request', () => {
  test('is identical when all of it is', () => {
    expect(judge({ end: whole, choices: right }, right, alive)).toEqual({ kind: 'identical' });
  });

  test('is lost when a text, a finish or a choice differs', () => {
    const lost = (choices: readonly Said[], wanted = right) =>
      judge({ end: whole, choices }, wanted, alive);
    expect(lost([said('one two four')])).toEqual({
      kind: 'lost',
      why: 'choice 0: at character 8 "four" instead of "three", finish stop instead of stop',
    });
    expect(lost([said('one two three', 'length')]).kind).toBe('lost');
    expect(lost(right, [...right, said('more')]).kind).toBe('lost');
    expect(lost([]).kind).toBe('lost');
  });

  test('may end with a known error behind the beginning of the right answer', () => {
    const failed = (code: string, text: string) =>
      judge(
        { end: { kind: 'error', code, message: '' }, choices: [said(text, null)] },
        right,
        alive,
      );
    expect(failed('no_worker', 'one t')).toMatchObject({ kind: 'named', code: 'no_worker' });
    expect(failed('no_worker', '')).toMatchObject({ kind: 'named', code: 'no_worker' });
    expect(failed('no_worker', 'two').kind).toBe('lost');
    expect(failed('internal', 'one t').kind).toBe('lost');
  });

  test('may break off without a word only where its gateway was killed', () => {
    for (const kind of ['connection', 'broken'] as const) {
      const reply = { end: { kind, why: 'gone' }, choices: [said('one', null)] };
      expect(judge(reply, right, alive).kind).toBe('lost');
      expect(judge(reply, right, { gatewayDied: true })).toEqual({
        kind: 'named',
        code: 'connection',
        why: 'gone',
      });
    }
  });
});

test('gaps: the longest wait that ended after the fault, of streams that it met', () => {
  const streams = [
    { atMs: [0, 50, 100, 130, 1000, 1010] }, // the gap before the fault does not count
    { atMs: [150, 160] }, // began later
    { atMs: [10, 90] }, // was over
    { atMs: [90, 400] },
    { atMs: [] },
  ];
  expect(gapsAcross(streams, 110)).toEqual([870, 310]);
});

test('rows add up, and their cells say so', () => {
  const gapsMs = Array.from({ length: 200 }, (_, i) => i + 1);
  const rows = [
    { ...emptyRow, name: 'nothing', requests: 3, identical: 3, gapsMs: [9000] },
    {
      ...emptyRow,
      name: 'a fault',
      injected: 2,
      requests: 5,
      identical: 2,
      named: { no_worker: 2 },
      lost: ['one'],
      leaked: ['two', 'three'],
      gapsMs,
    },
  ];
  const all = total(rows);
  expect(all).toMatchObject({ injected: 2, requests: 8, identical: 5, named: { no_worker: 2 } });
  expect(rowFigures(all)).toMatchObject({ streams: 200, gapP99Ms: 198, gapMaxMs: 200 });
  const cells = ['all', '2', '8', '5', '2 no_worker', '1', '200', '0.20', '0.20', '2'];
  expect(rowCells(all)).toEqual(cells);
});

describe('memory', () => {
  const hourMs = 3_600_000;
  const at = (share: number, mib: number) => ({ atMs: share * hourMs, bytes: mib * 2 ** 20 });

  test('a line is found with its slope and no error', () => {
    const trend = trendOf([at(0, 100), at(0.25, 101), at(0.5, 102), at(1, 104)]);
    expect(trend.slopeMiBPerH).toBeCloseTo(4);
    expect(trend.errorMiBPerH).toBeCloseTo(0);
    expect(trend).toMatchObject({ count: 4, firstMiB: 100, lastMiB: 104, maxMiB: 104 });
  });

  test('a slope that its error explains is unclear', () => {
    const word = (slopeMiBPerH: number, errorMiBPerH: number) =>
      wordFor({ slopeMiBPerH, errorMiBPerH }, 1);
    expect([word(1, 0), word(-5, 9), word(3, 1), word(3, 0.9)]).toEqual([
      'met',
      'met',
      'unclear',
      'MISSED',
    ]);
  });

  test('garbage above a steady floor is no slope', () => {
    const saw = Array.from({ length: 100 }, (_, i) => at(i / 100, 50 + ((i * 7) % 10) * (i / 50)));
    expect(trendOf(saw).slopeMiBPerH).toBeGreaterThan(1);
    const low = floors(saw, hourMs / 10);
    expect(low).toHaveLength(10);
    expect(trendOf(low).slopeMiBPerH).toBeCloseTo(0);
  });
});

test('command lines', () => {
  expect(readFaultWords(['--quick', '--seed', '7'])).toMatchObject({ seed: 7, faultCount: 1 });
  expect(readFaultWords(['--log-dir=x'])).toMatchObject({ logDir: 'x', quick: false });
  expect(() => readFaultWords(['--fast'])).toThrow('bench faults takes no --fast');
  expect(() => readFaultWords(['--seed'])).toThrow('wanted a whole number');
  const soak = { minutes: 3, seed: 1, gc: 'whole', logDir: null } as const;
  expect(readSoakWords(['--minutes', '3'])).toEqual(soak);
  expect(readSoakWords(['--gc=usual']).gc).toBe('usual');
  expect(() => readSoakWords(['--gc', 'none'])).toThrow('wanted whole or usual');
  expect(() => readSoakWords(['--minutes=0'])).toThrow('wanted more than none');
  expect(() => readSoakWords(['--minutes=x'])).toThrow('wanted a number');
});
