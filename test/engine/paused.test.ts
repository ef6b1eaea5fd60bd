// Sequences whose clients read too slowly: what they are left out of, who gets their room, how they come
// back, and that nobody's tokens change.

import { describe, expect, test } from 'bun:test';
import { seededChance } from '../../src/std/prng.ts';
import { FakeCache } from './fake-cache.ts';
import { FakeArena, FakeImport } from './fake-transfer.ts';
import { promptOf, Rig } from './rig.ts';

const long = { ignoreEos: true, maxTokens: 40, temperature: 1.1, seed: 5 };

function pause(rig: Rig, requestId: string, isPaused = true): void {
  rig.engine.submit({ type: 'pause', requestId, isPaused });
}

function steps(rig: Rig, count: number): void {
  for (let i = 0; i < count; i++) rig.engine.step();
}

const countOf = (rig: Rig, requestId: string): number => rig.tokens(requestId).ids.length;

/** What a request gets when nobody disturbs it. */
function undisturbed(prompt: readonly number[], sampling = long) {
  const rig = new Rig();
  rig.generate('x', prompt, sampling);
  rig.settle();
  return rig.tokens('x');
}

describe('a paused sequence', () => {
  test('gets no token while others get one at each step; then it goes on to the same answer', () => {
    const rig = new Rig();
    for (const name of ['a', 'b', 'c']) rig.generate(name, promptOf(5, name.charCodeAt(0)), long);
    steps(rig, 6);
    pause(rig, 'b');
    const before = countOf(rig, 'b');
    const others = countOf(rig, 'a') + countOf(rig, 'c');
    steps(rig, 10);
    expect(countOf(rig, 'b')).toBe(before);
    expect(countOf(rig, 'a') + countOf(rig, 'c')).toBe(others + 20);
    expect(rig.engine.load()).toMatchObject({ running: 3, decoding: 2, paused: 1 });
    pause(rig, 'b', false);
    rig.settle();
    for (const name of ['a', 'b', 'c']) {
      expect(rig.tokens(name)).toEqual(undisturbed(promptOf(5, name.charCodeAt(0))));
    }
    expect(rig.engine.recomputes()).toEqual({ preemption: 0, transfer: 0 });
  });

  test('alone leaves the engine nothing to do', () => {
    const rig = new Rig();
    rig.generate('a', promptOf(5), long);
    steps(rig, 3);
    pause(rig, 'a');
    pause(rig, 'a');
    expect(rig.settle()).toBe(0);
    expect(rig.engine.load()).toMatchObject({ running: 1, decoding: 0, paused: 1 });
    pause(rig, 'a', false);
    rig.settle();
    expect(rig.tokens('a')).toEqual(undisturbed(promptOf(5)));
  });

  test('in the middle of its prompt computes no chunk, and nothing counts as to be computed', () => {
    const rig = new Rig();
    rig.generate('a', promptOf(30), long);
    steps(rig, 2);
    pause(rig, 'a');
    expect([rig.engine.load().pendingTokens, rig.settle()]).toEqual([0, 0]);
    pause(rig, 'a', false);
    rig.settle();
    expect(rig.tokens('a')).toEqual(undisturbed(promptOf(30)));
  });

  test('gives its slot to whoever waits, and only then; unknown ids are fine', () => {
    const rig = new Rig({ slots: 2, kvCache: (runner) => new FakeCache(runner) });
    rig.generate('a', promptOf(9, 1), long);
    rig.generate('b', promptOf(9, 2), long);
    steps(rig, 4);
    pause(rig, 'a');
    pause(rig, 'nobody');
    steps(rig, 4);
    expect(rig.engine.load()).toMatchObject({ running: 2, waiting: 0 });
    rig.generate('c', promptOf(9, 3), long);
    steps(rig, 3);
    expect(rig.engine.load()).toMatchObject({ running: 2, waiting: 1, decoding: 2, paused: 1 });
    expect(rig.of('admitted', 'c')).toHaveLength(1);
    rig.settle();
    expect(rig.tokens('a').finish).toBeNull();
    pause(rig, 'a', false);
    rig.settle();
    for (const [i, name] of ['a', 'b', 'c'].entries()) {
      expect(rig.tokens(name)).toEqual(undisturbed(promptOf(9, i + 1)));
    }
    expect(rig.of('admitted', 'a')).toHaveLength(1);
  });

  test('without a slot asks for none, and lets others pass; going on, it comes before those after it', () => {
    const rig = new Rig({ slots: 1 });
    rig.generate('a', promptOf(4, 1), long);
    steps(rig, 3);
    pause(rig, 'a');
    rig.clock.advance(1);
    for (const name of ['b', 'c', 'd']) rig.generate(name, promptOf(4, 2), long);
    steps(rig, 2);
    expect(rig.of('admitted', 'b')).toHaveLength(1);
    pause(rig, 'a', false);
    rig.settle();
    const ends = rig.events.flatMap((event) =>
      event.type === 'tokens' && event.finish !== null ? [event.requestId] : [],
    );
    expect(ends).toEqual(['b', 'a', 'c', 'd']);
    expect(rig.tokens('a')).toEqual(undisturbed(promptOf(4, 1)));
  });

  test('gives its memory first, before anybody who decodes', () => {
    // Room for two to the end, not for three; the paused one is the oldest.
    const rig = new Rig({ slots: 3, tokensMax: 100 });
    rig.generate('a', promptOf(20, 1), long);
    steps(rig, 5);
    pause(rig, 'a');
    for (const name of ['b', 'c']) rig.generate(name, promptOf(4, 2), { ...long, maxTokens: 30 });
    rig.settle();
    expect([rig.tokens('b').finish, rig.tokens('c').finish]).toEqual(['length', 'length']);
    expect(rig.engine.recomputes().preemption).toBe(1);
    pause(rig, 'a', false);
    rig.settle();
    expect(rig.tokens('a')).toEqual(undisturbed(promptOf(20, 1)));
  });

  test('is not put out where even that would make no room', () => {
    const rig = new Rig({ slots: 3, tokensMax: 100 });
    rig.generate('a', promptOf(10, 1), { ...long, maxTokens: 10 });
    rig.generate('big', promptOf(50, 2), { ...long, maxTokens: 20 });
    steps(rig, 9);
    pause(rig, 'a');
    rig.generate('b', promptOf(40, 3), { ...long, maxTokens: 40 });
    steps(rig, 3);
    expect(rig.engine.load()).toMatchObject({ running: 2, waiting: 1 });
    expect(rig.engine.recomputes().preemption).toBe(0);
  });

  test('that waits for KV keeps its slot, takes the KV in, and rests then', () => {
    const arena = new FakeArena();
    const rig = new Rig({ slots: 1, kvImport: (runner) => new FakeImport(arena, runner) });
    rig.reserve('a', promptOf(6, 1), long);
    steps(rig, 1);
    pause(rig, 'a');
    rig.generate('b', promptOf(4, 2), { maxTokens: 2 });
    expect(rig.settle()).toBe(0);
    expect(rig.engine.load()).toMatchObject({ running: 1, waiting: 1 });
    const firstToken = undisturbed(promptOf(6, 1)).ids[0] ?? 0;
    rig.engine.submit({ type: 'import', requestId: 'a', firstToken, ticket: null });
    expect(rig.of('imported', 'a')).toHaveLength(1);
    rig.settle();
    expect(rig.tokens('b').finish).not.toBeNull();
    expect(rig.of('tokens', 'a')).toEqual([]);
    pause(rig, 'a', false);
    rig.settle();
    expect(rig.tokens('a', 1).ids).toEqual(undisturbed(promptOf(6, 1)).ids.slice(1));
  });

  test('can be aborted, and leaves nothing', () => {
    const rig = new Rig({ slots: 1 });
    rig.generate('a', promptOf(4), long);
    steps(rig, 2);
    pause(rig, 'a');
    rig.engine.submit({ type: 'abort', requestId: 'a' });
    expect(rig.engine.load()).toMatchObject({ running: 0, waiting: 0, paused: 0 });
  });
});

test('pauses at any moment, with too few slots and too little memory: the same answers', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const chance = seededChance(seed);
    const below = (count: number): number => chance.u32() % count;
    const rig = new Rig({
      slots: 1 + below(3),
      tokensMax: 96 + below(60),
      stepTokens: 4 + below(9),
    });
    const names = Array.from({ length: 6 }, (_, i) => `r${i}`);
    const prompts = names.map((_, i) => promptOf(1 + below(40), i));
    for (const [i, name] of names.entries()) rig.generate(name, prompts[i] ?? [], long);
    for (let round = 0; round < 200; round++) {
      pause(rig, names[below(names.length)] ?? '', below(2) === 0);
      steps(rig, 1 + below(3));
    }
    for (const name of names) pause(rig, name, false);
    rig.settle();
    for (const [i, name] of names.entries()) {
      expect([seed, name, rig.tokens(name)]).toEqual([seed, name, undisturbed(prompts[i] ?? [])]);
    }
  }
});
