import { describe, expect, test } from 'bun:test';
import { seededChance } from '../../src/std/prng.ts';
import { StopScanner } from '../../src/text/stop.ts';

/** Text that left, piece by piece, and whether a stop string ended it. */
function scan(stops: readonly string[], pieces: readonly string[], armedFrom = 0) {
  const scanner = new StopScanner(stops);
  const out: string[] = [];
  for (const [index, piece] of pieces.entries()) {
    const { text, stop } = scanner.push(piece, index >= armedFrom);
    out.push(text);
    if (stop !== null) return { out, stopped: true };
  }
  out.push(scanner.flush());
  return { out, stopped: false };
}

describe('StopScanner', () => {
  test('without stop strings everything passes at once', () => {
    expect(scan([], ['a', 'b'])).toEqual({ out: ['a', 'b', ''], stopped: false });
  });

  test('a stop string across pieces is found and cut out', () => {
    expect(scan(['END'], ['abE', 'N', 'Dxyz'])).toEqual({ out: ['ab', '', ''], stopped: true });
  });

  test('only what may begin a stop string waits', () => {
    expect(scan(['\n\n'], ['a\n', 'b', '\n'])).toEqual({
      out: ['a', '\nb', '', '\n'],
      stopped: false,
    });
  });

  test('a false start inside a start is not lost', () => {
    expect(scan(['aab'], ['aa', 'a', 'b!'])).toEqual({ out: ['', 'a', ''], stopped: true });
  });

  test('of several the one that ends first wins, then the longest', () => {
    expect(scan(['abcd', 'bc'], ['xabcd']).out.join('')).toBe('xa');
    expect(scan(['bc', 'abc'], ['xabcd']).out.join('')).toBe('x');
  });

  test('until armed, a whole stop string is text; one that ends later counts', () => {
    expect(scan(['END'], ['aENDb', 'END'], 1)).toEqual({ out: ['aENDb', ''], stopped: true });
    expect(scan(['END'], ['aEN', 'Db'], 1)).toEqual({ out: ['a', ''], stopped: true });
    expect(scan(['ab', 'xabz'], ['xab', 'y'], 1).out.join('')).toBe('xaby');
  });

  test('says which one it was; on request it stays in the text', () => {
    for (const [includeStop, text] of [
      [false, 'ab'],
      [true, 'abEND'],
    ] as const) {
      const scanner = new StopScanner(['x', 'END'], { includeStop });
      expect(scanner.push('abE', true)).toEqual({ text: 'ab', stop: null });
      const last = scanner.push('NDx', true);
      expect(last).toEqual({ text: text.slice(2), stop: 'END' });
    }
  });

  test('surrogate pairs stay whole', () => {
    expect(scan(['😀!'], ['a😀', '?'])).toEqual({ out: ['a', '😀?', ''], stopped: false });
  });

  test('the pieces do not matter: equal to scanning character by character', () => {
    const chance = seededChance(3);
    const stops = ['aba', 'bb', 'abcab'];
    for (let round = 0; round < 500; round++) {
      const text = Array.from({ length: 30 }, () => 'abc'[chance.u32() % 3] ?? '').join('');
      const single = scan(stops, [...text]);
      const pieces: string[] = [];
      for (let at = 0; at < text.length; ) {
        const chars = 1 + (chance.u32() % 6);
        pieces.push(text.slice(at, at + chars));
        at += chars;
      }
      const cut = scan(stops, pieces);
      expect(cut.out.join('')).toBe(single.out.join(''));
      expect(cut.stopped).toBe(single.stopped);
    }
  });
});
