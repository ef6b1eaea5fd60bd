import { describe, expect, test } from 'bun:test';
import { Reassembly } from '../../src/plane/reassembly.ts';
import { seededChance } from '../../src/std/prng.ts';
import { chunk } from './make.ts';

describe('reassembly', () => {
  test('passes on what comes in order', () => {
    const stream = new Reassembly();
    expect(stream.accept(chunk(0, [5]))).toEqual([{ ids: [5], finish: null }]);
    expect(stream.accept(chunk(1, [6, 7]))).toEqual([{ ids: [6, 7], finish: null }]);
    expect(stream.accept(chunk(3, [], { finish: 'stop' }))).toEqual([{ ids: [], finish: 'stop' }]);
    expect(stream.finished).toBeTrue();
    expect(stream.ids).toEqual([5, 6, 7]);
  });

  test('holds what comes early until the missing piece is there', () => {
    const stream = new Reassembly();
    expect(stream.accept(chunk(2, [7], { finish: 'length' }))).toEqual([]);
    expect(stream.accept(chunk(1, [6]))).toEqual([]);
    expect(stream.gapAt).toBe(0);
    expect(stream.finished).toBeFalse();
    expect(stream.accept(chunk(0, [5]))).toEqual([
      { ids: [5], finish: null },
      { ids: [6], finish: null },
      { ids: [7], finish: 'length' },
    ]);
    expect(stream.gapAt).toBeNull();
  });

  test('drops exact repeats, takes the new part of an overlap', () => {
    const stream = new Reassembly();
    stream.accept(chunk(0, [5, 6]));
    expect(stream.accept(chunk(0, [5, 6]))).toEqual([]);
    expect(stream.accept(chunk(1, [6]))).toEqual([]);
    expect(stream.accept(chunk(1, [6, 7]))).toEqual([{ ids: [7], finish: null }]);
    stream.accept(chunk(3, [8], { finish: 'stop' }));
    expect(stream.accept(chunk(3, [8], { finish: 'stop' }))).toEqual([]);
  });

  test('logprobs stay with their tokens, in overlaps too; a stop token is passed on', () => {
    const stream = new Reassembly();
    const of = (...ids: number[]) => ids.map((id) => ({ logprob: -id, top: [] }));
    stream.accept(chunk(0, [5, 6], { logprobs: of(5, 6) }));
    const late = chunk(3, [], { finish: 'stop', stopToken: 9 });
    expect(stream.accept(late)).toEqual([]);
    expect(stream.accept(chunk(1, [6, 7], { logprobs: of(6, 7) }))).toEqual([
      { ids: [7], finish: null, logprobs: of(7) },
      { ids: [], finish: 'stop', stopToken: 9 },
    ]);
    const other = new Reassembly();
    expect(() => other.accept(chunk(0, [5, 6], { logprobs: of(5) }))).toThrow('with 1 logprobs');
  });

  test('logprobs of the prompt pass on at once, in order and without a gap', () => {
    const stream = new Reassembly();
    const scores = (from: number, ...of: number[]) => {
      const list = of.map((id) => ({ logprob: -id, top: [] }));
      return chunk(0, [], { scores: { from, list } });
    };
    const list = [{ logprob: -5, top: [] }];
    expect(stream.accept(scores(1, 5))).toEqual([{ ids: [], scores: list, finish: null }]);
    expect(stream.accept(scores(2, 6, 7))).toHaveLength(1);
    expect(stream.ids).toEqual([]);
    expect(() => stream.accept(scores(3, 8))).toThrow("instead of 4's");
    expect(() => new Reassembly().accept(scores(2, 8))).toThrow("instead of 1's");
  });

  test('a contradiction is a fault', () => {
    const stream = new Reassembly();
    stream.accept(chunk(0, [5, 6]));
    expect(() => stream.accept(chunk(1, [9]))).toThrow('token 1 came twice and differs: 6, then 9');
    expect(() => stream.accept(chunk(1, [], { finish: 'stop' }))).toThrow('behind its tokens');
    stream.accept(chunk(2, [], { finish: 'stop' }));
    expect(() => stream.accept(chunk(2, [1]))).toThrow('after the end');
  });

  test('what is held is bounded', () => {
    const stream = new Reassembly();
    for (let first = 1; first <= 1024; first++) stream.accept(chunk(first, [first]));
    expect(() => stream.accept(chunk(2000, [1]))).toThrow('token 0 is missing');
  });

  test('any order and any repeats give the same text (200 seeds)', () => {
    for (let seed = 0; seed < 200; seed++) {
      const chance = seededChance(seed);
      const length = 1 + (chance.u32() % 40);
      const ids = Array.from({ length }, () => chance.u32() % 100);
      const chunks = [];
      for (let at = 0; at < length; ) {
        const count = 1 + (chance.u32() % 3);
        const end = Math.min(length, at + count);
        chunks.push(chunk(at, ids.slice(at, end), { finish: end === length ? 'stop' : null }));
        at = end;
      }
      const order = [...chunks, ...chunks.filter(() => chance.u32() % 2 === 0)]
        .map((value) => ({ value, key: chance.u32() }))
        .sort((a, b) => a.key - b.key);
      const stream = new Reassembly();
      const out = order.flatMap(({ value }) => stream.accept(value));
      expect(out.flatMap((delta) => delta.ids)).toEqual(ids);
      expect(out.filter(({ finish }) => finish !== null).length).toBe(1);
      expect(out.at(-1)?.finish).toBe('stop');
    }
  });
});
