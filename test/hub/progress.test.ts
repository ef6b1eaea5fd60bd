// What a person sees of a download: lines under a clock that we move, bars on a terminal of our own.

import { expect, test } from 'bun:test';
import { Writable } from 'node:stream';
import { ProgressBars } from '../../src/hub/bars.ts';
import { ProgressLines, sizeText } from '../../src/hub/progress.ts';
import { limit } from '../../src/protocol/limit.ts';
import { ManualClock } from '../../src/std/clock.ts';

const mib = 2 ** 20;
const files = [
  { name: 'config.json', bytes: mib, haveBytes: 0 },
  { name: 'model.safetensors', bytes: 99 * mib, haveBytes: 19 * mib },
];

test('lines: at the beginning, now and then, at the end', () => {
  const clock = new ManualClock();
  const lines: string[] = [];
  const progress = new ProgressLines({ clock, say: (line) => lines.push(line) });
  progress.begin('org/tiny', files);
  progress.at('config.json', mib);
  progress.at('model.safetensors', 29 * mib);
  clock.advance(limit.hubTellMs);
  progress.note('model.safetensors: the connection broke off');
  progress.at('model.safetensors', 99 * mib);
  clock.advance(limit.hubTellMs - 1);
  progress.end();
  clock.advance(10 * limit.hubTellMs);
  expect(lines).toEqual([
    'Downloading org/tiny: 2 files, 100 MiB, 19.0 MiB of it here already',
    'Downloading org/tiny: 30.0 MiB of 100 MiB (30 %), 2.2 MiB/s, 1 of 2 files done',
    'model.safetensors: the connection broke off',
    'Downloaded org/tiny: 100 MiB, 8.1 MiB/s',
  ]);
  expect(clock.pendingCount).toBe(0);
});

test('a terminal has a bar for the whole and one for each file', () => {
  let shown = '';
  const stream = Object.assign(
    new Writable({
      write(chunk, _encoding, done) {
        shown += String(chunk);
        done();
      },
    }),
    { isTTY: true, columns: 120 },
  );
  const progress = new ProgressBars(stream);
  progress.begin('org/tiny', files);
  progress.at('config.json', mib);
  progress.at('model.safetensors', 49 * mib);
  progress.end();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a terminal is moved by
  const plain = shown.replaceAll(/\x1b\[[\d;?]*[A-Za-z]/g, '');
  expect(plain).toMatch(/org\/tiny\s+█+░+\s+50 %\s+50\.0 MiB of 100 MiB/);
  expect(plain).toMatch(/config\.json\s+█+\s+100 %\s+1\.0 MiB of 1\.0 MiB/);
  expect(plain).toMatch(/model\.safetensors\s+█+░+\s+49 %\s+49\.0 MiB of 99\.0 MiB/);
});

test('sizes', () => {
  const sizes = [0, 1, 1023, 1024, 1536, 150 * mib, 3.25 * 2 ** 30, 2 ** 42].map(sizeText);
  expect(sizes).toEqual([
    '0 B',
    '1 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '150 MiB',
    '3.3 GiB',
    '4.0 TiB',
  ]);
});
