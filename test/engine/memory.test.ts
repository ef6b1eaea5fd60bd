// The engine's memory: what it remembers, what it gives back, and what a failing export costs.

import { describe, expect, test } from 'bun:test';
import { FakeCache } from './fake-cache.ts';
import { expectedTokens } from './fake-runner.ts';
import { FakeArena, FakeExport, FakeImport } from './fake-transfer.ts';
import { eosIds, greedy, promptOf, Rig, vocabSize } from './rig.ts';

const long = { maxTokens: 100, ignoreEos: true };

const expected = (prompt: readonly number[], sampling: Partial<typeof greedy> = {}) =>
  expectedTokens(prompt, { ...greedy, ...sampling }, { vocabSize, eosIds });

/** Two that fit at first and not to the end: limits of 200 for 2 × (40 + 100). */
function crowded(options: ConstructorParameters<typeof Rig>[0] = {}) {
  const rig = new Rig({
    slots: 2,
    stepTokens: 64,
    maxModelLen: 150,
    tokensMax: 220,
    ...options,
  });
  rig.generate('a', promptOf(40, 1), long);
  rig.clock.advance(1);
  rig.generate('b', promptOf(40, 2), long);
  return rig;
}

/** Steps until somebody has been preempted. */
function untilPreempted(rig: Rig): void {
  while (rig.scheduler.preemptionCount === 0) expect(rig.engine.step()).toBeTrue();
}

describe('a preempted request', () => {
  for (const remembers of [false, true]) {
    test(`goes on with the same tokens, ${remembers ? 'restored' : 'computed anew'}`, () => {
      const holder: { cache: FakeCache | null } = { cache: null };
      const rig = crowded({
        ...(remembers
          ? {
              kvCache: (runner) => {
                holder.cache = new FakeCache(runner, { roomFor: 200 });
                return holder.cache;
              },
            }
          : {}),
      });
      rig.settle();
      expect(rig.scheduler.preemptionCount).toBeGreaterThan(0);
      expect(rig.tokens('a')).toEqual(expected(promptOf(40, 1), long));
      expect(rig.tokens('b')).toEqual(expected(promptOf(40, 2), long));
      expect(rig.of('admitted', 'b').length).toBe(1);
      // Its first token came long ago: nothing of the second prefill is told.
      expect(rig.of('tokens', 'b').filter((event) => 'timing' in event).length).toBe(1);
      if (remembers) expect(holder.cache?.restoredTokens ?? 0).toBeGreaterThan(90);
      expect(rig.runner.violations).toEqual([]);
    });
  }

  test('aborted while it waits: silence, and everything is free', () => {
    const rig = crowded();
    untilPreempted(rig);
    expect(rig.engine.load()).toMatchObject({ running: 1, waiting: 1 });
    const said = rig.of('tokens', 'b').length;
    rig.engine.submit({ type: 'abort', requestId: 'b' });
    expect(rig.engine.load()).toMatchObject({ running: 1, waiting: 0 });
    rig.settle();
    expect(rig.of('tokens', 'b').length).toBe(said);
    expect(rig.tokens('a')).toEqual(expected(promptOf(40, 1), long));
    rig.generate('b', promptOf(5)); // the name is free again
    rig.settle();
    expect(rig.of('refused', 'b')).toEqual([]);
    expect(rig.engine.load().freeTokens).toBe(220);
  });

  test('whose recomputation fails is told so, numbered after its last token', () => {
    const rig = crowded();
    untilPreempted(rig);
    const said = rig.of('tokens', 'b').length;
    rig.runner.onCall = (kind) => {
      if (kind === 'prefill') throw new Error('out of memory');
    };
    rig.settle();
    const last = rig.of('tokens', 'b').at(-1);
    expect([last?.first, last?.fault?.code]).toEqual([said, 'engine']);
    expect(rig.tokens('a')).toEqual(expected(promptOf(40, 1), long));
  });

  test('on a worker that hands over: a prompt preempted between two chunks is exported whole', () => {
    const arena = new FakeArena();
    const rig = new Rig({
      slots: 3,
      stepTokens: 2, // so slow that the two others outgrow what was reserved for them
      maxModelLen: 210,
      tokensMax: 340,
      kvExport: (runner) => new FakeExport(arena, runner),
      kvCache: (runner) => new FakeCache(runner, { roomFor: 500 }),
    });
    const growing = { maxTokens: 170, ignoreEos: true };
    for (const [i, name] of ['a', 'b'].entries()) rig.generate(name, promptOf(4, i), growing);
    rig.clock.advance(1);
    const prompt = promptOf(200, 9);
    rig.prefill('p', prompt, { ignoreEos: true });
    untilPreempted(rig);
    expect(rig.of('prefilled', 'p')).toEqual([]);
    expect(arena.staged.get('p')?.length).toBeGreaterThan(80); // it was under way
    rig.settle();
    expect(arena.staged.get('p')).toEqual(prompt);
    expect(rig.of('admitted', 'p').length).toBe(1);
    expect(rig.tokens('p').ids).toEqual(expected(prompt, { ignoreEos: true }).ids.slice(0, 1));
    for (const [i, name] of ['a', 'b'].entries()) {
      expect(rig.tokens(name)).toEqual(expected(promptOf(4, i), growing));
    }
    expect(rig.runner.violations).toEqual([]);
  });
});

describe('what is remembered', () => {
  const rigWith = () => {
    const holder: { cache: FakeCache | null } = { cache: null };
    const rig = new Rig({
      kvCache: (runner) => {
        holder.cache = new FakeCache(runner);
        return holder.cache;
      },
    });
    return { rig, holder };
  };

  test('of a finished request serves the next turn, and the first token says how much', () => {
    const { rig } = rigWith();
    const prompt = promptOf(21);
    rig.generate('first', prompt, { ignoreEos: true });
    rig.settle();
    expect(rig.of('tokens', 'first')[0]?.timing?.cachedTokens).toBe(0);
    const next = [...prompt, ...rig.tokens('first').ids, 3, 4];
    rig.generate('next', next, { ignoreEos: true });
    rig.settle();
    // 21 + 8 tokens, of which the last was never fed: 28 rows, all in whole blocks of 4.
    expect(rig.of('tokens', 'next')[0]?.timing?.cachedTokens).toBe(28);
    expect(rig.tokens('next')).toEqual(expected(next, { ignoreEos: true }));
  });

  test('serves a fallback too', () => {
    const { rig, holder } = rigWith();
    rig.generate('first', promptOf(21), { ignoreEos: true });
    rig.settle();
    rig.reserve('a', promptOf(21), { ignoreEos: true });
    rig.settle();
    const [firstToken = -1] = expected(promptOf(21), { ignoreEos: true }).ids;
    rig.engine.submit({ type: 'import', requestId: 'a', firstToken, ticket: null });
    expect(holder.cache?.restoredTokens).toBe(20);
    rig.settle();
    expect(rig.tokens('a', 1).ids).toEqual(
      expected(promptOf(21), { ignoreEos: true }).ids.slice(1),
    );
  });

  test('a restored prompt whose last token alone is missing is a row of the batch', () => {
    const { rig } = rigWith();
    rig.generate('first', promptOf(20), { ignoreEos: true });
    rig.settle();
    rig.runner.onCall = (kind) => expect(kind).toBe('decode');
    rig.generate('again', promptOf(21), { ignoreEos: true });
    rig.settle();
    expect(rig.of('tokens', 'again').map(({ fault }) => fault)).toEqual(
      new Array(8).fill(undefined),
    );
    expect(rig.tokens('again')).toEqual(expected(promptOf(21), { ignoreEos: true }));
  });
});

describe('an export that throws', () => {
  class BrokenExport extends FakeExport {
    failures = 0;
    override append(request: Parameters<FakeExport['append']>[0]) {
      if (this.failures-- > 0) throw new Error('a bug');
      return super.append(request);
    }
  }

  for (const failures of [1, 2, 99]) {
    test(`${failures} times: no ticket, the others go on, nothing stays`, () => {
      const arena = new FakeArena();
      const holder: { out: BrokenExport | null } = { out: null };
      const rig = new Rig({
        kvExport: (runner) => {
          holder.out = new BrokenExport(arena, runner);
          return holder.out;
        },
      });
      rig.generate('other', promptOf(9), { ignoreEos: true });
      if (holder.out !== null) holder.out.failures = failures;
      rig.prefill('p', promptOf(30), { ignoreEos: true });
      rig.settle();
      const [token] = expected(promptOf(30), { ignoreEos: true }).ids;
      expect(rig.tokens('p').ids).toEqual(token === undefined ? [] : [token]);
      // Told once, however many of its chunks could not be staged.
      const fault = { code: 'transfer', message: 'a bug' };
      expect(rig.of('prefilled', 'p')).toEqual([
        { type: 'prefilled', requestId: 'p', firstToken: token ?? -1, ticket: null, fault },
      ]);
      expect(arena.staged.size).toBe(0);
      expect(rig.tokens('other')).toEqual(expected(promptOf(9), { ignoreEos: true }));
      if (holder.out !== null) holder.out.failures = 0;
      rig.prefill('p', promptOf(30), { ignoreEos: true });
      rig.settle();
      expect(arena.staged.get('p')).toEqual(promptOf(30));
      expect(rig.of('prefilled', 'p').at(-1)?.fault).toBeUndefined();
    });
  }

  test('and the request ends with its first token, or is aborted: its name starts anew', () => {
    const arena = new FakeArena();
    const holder: { out: BrokenExport | null } = { out: null };
    const rig = new Rig({
      kvExport: (runner) => {
        holder.out = new BrokenExport(arena, runner);
        return holder.out;
      },
    });
    for (const end of ['finish', 'abort'] as const) {
      if (holder.out !== null) holder.out.failures = 1;
      rig.prefill('p', promptOf(30), { ignoreEos: true, maxTokens: 1 });
      rig.engine.step();
      rig.engine.step();
      if (end === 'abort') rig.engine.submit({ type: 'abort', requestId: 'p' });
      rig.settle();
      rig.prefill('p', promptOf(30), { ignoreEos: true });
      rig.settle();
      expect(rig.of('prefilled', 'p').at(-1)?.ticket).not.toBeNull();
      rig.engine.submit({ type: 'release', requestId: 'p' });
    }
  });
});

describe('memory in use', () => {
  test('an import counts at once, and gives back what vacated slots still hold', () => {
    const arena = new FakeArena();
    const context = new Rig({ kvExport: (runner) => new FakeExport(arena, runner) });
    const generate = new Rig({
      slots: 3,
      maxModelLen: 100,
      tokensMax: 120,
      kvImport: (runner) => new FakeImport(arena, runner),
    });
    // Three slots full of what nobody needs any more.
    for (const name of ['x', 'y', 'z']) generate.generate(name, promptOf(20, 3), { maxTokens: 10 });
    generate.settle();
    expect(generate.runner.memory.residentTokens()).toBeGreaterThan(60);
    generate.reserve('a', promptOf(80), { ignoreEos: true });
    generate.settle();
    context.prefill('a', promptOf(80), { ignoreEos: true });
    context.settle();
    const { firstToken = -1, ticket = null } = context.of('prefilled', 'a')[0] ?? {};
    generate.engine.submit({ type: 'import', requestId: 'a', firstToken, ticket });
    expect(generate.of('imported', 'a').map(({ refusal }) => refusal)).toEqual([null]);
    expect(generate.runner.memory.residentTokens()).toBeGreaterThanOrEqual(80);
    expect(generate.runner.memory.residentTokens()).toBeLessThanOrEqual(120);
    // Aborted before any step: the pages are known and can go.
    generate.engine.submit({ type: 'abort', requestId: 'a' });
    generate.generate('b', promptOf(90, 5), { ignoreEos: true });
    generate.settle();
    expect(generate.tokens('b')).toEqual(expected(promptOf(90, 5), { ignoreEos: true }));
    expect(generate.runner.violations).toEqual([]);
  });

  test('a slot’s long past does not count for its short present', () => {
    const rig = new Rig({ slots: 2, maxModelLen: 100, tokensMax: 100, stepTokens: 64 });
    rig.generate('long', promptOf(90), { maxTokens: 2, ignoreEos: true });
    rig.settle();
    expect(rig.runner.memory.residentTokens()).toBe(91);
    rig.generate('a', promptOf(40, 1), { maxTokens: 5, ignoreEos: true });
    rig.generate('b', promptOf(40, 2), { maxTokens: 5, ignoreEos: true });
    while (rig.engine.step()) {
      expect(rig.runner.memory.residentTokens()).toBeLessThanOrEqual(100);
    }
    expect(rig.tokens('b').ids.length).toBe(5);
    expect(rig.runner.violations).toEqual([]);
  });

  test('prompts run together, but not where their padding has no memory', () => {
    const lengths = [20, 16, 17];
    const run = (tokensMax: number): Rig => {
      const rig = new Rig({ slots: 3, maxModelLen: 56, tokensMax, stepTokens: 64 });
      for (const [i, length] of lengths.entries()) {
        rig.generate(`r${i}`, promptOf(length, i), { maxTokens: 1, ignoreEos: true });
      }
      rig.settle();
      for (const [i, length] of lengths.entries()) {
        const wanted = expected(promptOf(length, i), { maxTokens: 1, ignoreEos: true });
        expect(rig.tokens(`r${i}`)).toEqual(wanted);
      }
      expect(rig.runner.violations).toEqual([]);
      return rig;
    };
    expect(run(1000).runner.togetherCount).toBe(1);
    expect(run(60).runner.togetherCount).toBe(1); // 53 and 7 of padding
    expect(run(59).runner.togetherCount).toBe(0); // admitted all the same: 56
  });

  test('less memory than one sequence may want is a bug of whoever sized it', () => {
    expect(() => new Rig({ maxModelLen: 96, tokensMax: 95 })).toThrow('KV for 95 of 96 tokens');
  });
});
