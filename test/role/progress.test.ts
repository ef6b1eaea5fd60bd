import { expect, test } from 'bun:test';
import { createProgress } from '../../src/role/progress.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { createLog } from '../../src/telemetry/log.ts';

function world(isTerminal: boolean) {
  const clock = new ManualClock();
  const [lines, drawn]: [string[], string[]] = [[], []];
  const log = createLog({ level: 1, sink: (line) => lines.push(line), name: '' });
  const draw = isTerminal ? (text: string) => drawn.push(text) : null;
  return { clock, lines, drawn, progress: createProgress('Building', { clock, log, draw }) };
}

test('work that is over within a second says nothing', () => {
  for (const isTerminal of [true, false]) {
    const { clock, lines, drawn, progress } = world(isTerminal);
    for (let bytes = 0; bytes <= 10; bytes++) {
      progress.report(bytes, 10);
      clock.advance(90);
    }
    progress.end();
    expect([lines, drawn]).toEqual([[], []]);
  }
});

test('without a terminal: a line every five seconds', () => {
  const { clock, lines, drawn, progress } = world(false);
  for (let s = 0; s < 20; s++) {
    clock.advance(1000);
    progress.report((s + 1) * 2 ** 20, 20 * 2 ** 20);
  }
  expect(lines.map((line) => line.slice(line.indexOf('Building')))).toEqual([
    'Building percent=5 ofMib=20 leftS=19',
    'Building percent=30 ofMib=20 leftS=14',
    'Building percent=55 ofMib=20 leftS=9',
    'Building percent=80 ofMib=20 leftS=4',
  ]);
  expect(drawn).toEqual([]);
});

test('on a terminal: a bar in place, wiped at the end', () => {
  const { clock, lines, drawn, progress } = world(true);
  clock.advance(1000);
  progress.report(2 ** 29, 2 ** 31);
  clock.advance(50);
  progress.report(2 ** 30, 2 ** 31);
  clock.advance(2950);
  progress.report(2 ** 30, 2 ** 31);
  progress.end();
  expect(drawn).toEqual([
    `\r\x1b[KBuilding ${'█'.repeat(8)}${'░'.repeat(22)} 25 % of 2.0 GiB, 3 s left`,
    `\r\x1b[KBuilding ${'█'.repeat(15)}${'░'.repeat(15)} 50 % of 2.0 GiB, 4 s left`,
    '\r\x1b[K',
  ]);
  expect(lines).toEqual([]);
});
