// The engine with its grammars in another thread against the same engine that matches in place: whatever
// the other thread's pace, token by token the same answers, on every way. And what it does to the engine
// to be slow, to hang and to die.

import { describe, expect, test } from 'bun:test';
import type { Grammars } from '../../src/grammar/guide.ts';
import { GrammarStore } from '../../src/grammar/store.ts';
import { makeVocabulary } from '../../src/grammar/vocabulary.ts';
import { limit } from '../../src/protocol/limit.ts';
import type { Sampling } from '../../src/protocol/request.ts';
import { ThreadGrammars } from '../../src/role/grammar.ts';
import { startGrammarThread } from '../../src/role/grammar-port.ts';
import { realClock } from '../../src/std/clock.ts';
import { seededChance } from '../../src/std/prng.ts';
import { FakeArena, FakeExport, FakeImport } from '../engine/fake-transfer.ts';
import { greedy, promptOf, Rig, vocabSize } from '../engine/rig.ts';
import { schemaSpec } from '../grammar/accepts.ts';
import { makeSchema } from '../grammar/schema-maker.ts';
import { allowedIds, demoVocabulary } from '../grammar/vocabulary-world.ts';
import { FakeGrammars } from './fake-grammar-thread.ts';

/** 3 … 28 are a … z, 29 … 54 are aa … zz; 0 and 1 end. */
const vocabulary = makeVocabulary(
  Array.from({ length: vocabSize }, (_, id) => {
    const letter = 0x61 + ((id - 3) % 26);
    if (id < 3 || id > 54) return null;
    return Uint8Array.from(id < 29 ? [letter] : [letter, letter]);
  }),
);

const regex = (text: string): Partial<Sampling> => ({ grammar: { kind: 'regex', text } });
const maxModelLen = 200;
const drawn = { temperature: 1.3, ignoreEos: true };
const forms: readonly Partial<Sampling>[] = [
  regex('(ab|ccd|xx){3}'),
  { ...regex('b'), maxTokens: 1 },
  { ...regex('[a-m]{9}'), maxTokens: 9 },
  { ...regex('[a-m]{9}'), maxTokens: 4 },
  { ...regex('([a-c]{2}q)*'), maxTokens: 60, minTokens: 5 },
  { ...regex('[a-z]*'), logitBias: [[1, 4]], maxTokens: 30 },
  { ...regex('([a-m]{3}(xy|z)){4}'), ...drawn, seed: 5, maxTokens: 30 },
  { ...regex('a{6}'), stopTokenIds: [3, 29], maxTokens: 8 },
  { ...regex('[a-f]{12}'), logprobs: 2, promptLogprobs: 1, maxTokens: 20 },
  { ...regex('ab7') },
  { ...regex('('), maxTokens: 5 },
  regex(''),
  { grammar: { kind: 'choice', texts: ['abc', 'zz', 'abca'] } },
  { ...regex('([a-c]{2}q){35,40}'), ...drawn, seed: 8, maxTokens: 130 },
  { ...regex('[a-z]{150}'), ...drawn, seed: 9, maxTokens: 160 },
  { ...drawn, seed: 3, maxTokens: 140 },
  { ...drawn, maxTokens: 25, promptLogprobs: 0 },
];

type Asked = { readonly sampling: Partial<Sampling>; readonly emittedIds: readonly number[] };

function commandOf({ sampling, emittedIds }: Asked, i: number) {
  const all = { ...greedy, ...sampling };
  const requestId = `r${i}`;
  return { requestId, promptIds: promptOf(5 + i, i), emittedIds, sampling: all, priority: i % 2 };
}

/** What the client hears, wherever it came from. */
function outcome(i: number, rigs: readonly Rig[]) {
  const requestId = `r${i}`;
  const events = rigs.flatMap((rig) => rig.of('tokens', requestId));
  const refusals = rigs.flatMap((rig) => rig.of('refused', requestId));
  const faults = events.flatMap(({ fault }) => (fault === undefined ? [] : [fault.message]));
  return {
    i,
    ids: events.flatMap(({ ids }) => ids),
    logprobs: events.flatMap(({ logprobs }) => logprobs ?? []),
    scores: events.flatMap(({ scores }) => scores?.list ?? []).length,
    stopToken: events.at(-1)?.stopToken,
    end: events.at(-1)?.finish ?? [...faults, ...refusals.map(({ message }) => message)].join(),
  };
}

function inPlace(): Grammars {
  const store = new GrammarStore();
  store.learn(vocabulary);
  return store;
}

/** Each by itself, in one engine that matches in place. */
const wanted = forms.map((sampling, i) => {
  const rig = new Rig({ grammars: inPlace(), stepTokens: 24, maxModelLen });
  rig.engine.submit({
    type: 'generate',
    source: 'local',
    ...commandOf({ sampling, emittedIds: [] }, i),
  });
  rig.settle();
  return outcome(i, [rig]);
});

/** A worker whose grammars are in another thread, at a pace of its own. */
class Side {
  readonly fake = new FakeGrammars();
  readonly rig: Rig;
  /** Tokens that a step did without. */
  lateCount = 0;
  #turnCount = 0;
  readonly #below: (count: number) => number;

  constructor(
    below: (count: number) => number,
    options: ConstructorParameters<typeof Rig>[0] = {},
  ) {
    this.fake.grammars.learn(vocabulary);
    this.rig = new Rig({ stepTokens: 24, maxModelLen, ...options, grammars: this.fake.grammars });
    this.#below = below;
    // The other thread does not wait for a step to end.
    this.rig.runner.onCall = () => this.fake.thread?.work(below(3));
  }

  /** False when nothing is left to do, and nobody will wake it. */
  async turn(): Promise<boolean> {
    if (++this.#turnCount > 20_000) throw new Error('the answers do not come to an end');
    const worked = this.rig.engine.step();
    this.lateCount += this.rig.scheduler.running().filter(({ awaitsMask }) => awaitsMask).length;
    await Promise.resolve(); // what was asked leaves
    const { fake } = this;
    const { wakeCount } = fake;
    fake.thread?.work(this.#below(4));
    if (this.#below(2) === 0) fake.thread?.deliver();
    if (worked) return true;
    do fake.thread?.deliver();
    while (fake.thread?.work(1));
    return fake.wakeCount > wakeCount;
  }
}

describe.each([1, 2, 3, 4, 5, 6, 7, 8])('in another thread, seed %i', (seed) => {
  const chance = seededChance(seed);
  const below = (count: number): number => chance.u32() % count;

  test('in one engine that is short of memory', async () => {
    const side = new Side(below, { slots: 8, tokensMax: maxModelLen });
    for (const [i, sampling] of forms.entries()) {
      const asked = commandOf({ sampling, emittedIds: [] }, i);
      side.rig.engine.submit({ type: 'generate', source: 'local', ...asked });
    }
    while (await side.turn());
    expect(forms.map((_, i) => outcome(i, [side.rig]))).toEqual(wanted);
    expect(side.rig.scheduler.preemptionCount).toBeGreaterThan(0);
    expect(side.lateCount).toBeGreaterThan(0);
    await expectNothingOpen(side);
  });

  test('going on where another worker was lost', async () => {
    const side = new Side(below);
    const cuts = wanted.map(({ ids }) => below(ids.length + 1));
    for (const [i, sampling] of forms.entries()) {
      const asked = { sampling, emittedIds: wanted[i]?.ids.slice(0, cuts[i]) ?? [] };
      side.rig.engine.submit({ type: 'generate', source: 'local', ...commandOf(asked, i) });
    }
    while (await side.turn());
    for (const [i, { grammar }] of forms.entries()) {
      const cut = cuts[i] ?? 0;
      const { ids = [], end } = wanted[i] ?? {};
      // Without a grammar the last token tells that it is the last.
      if (grammar === undefined && cut === ids.length) continue;
      expect({ i, cut, ...pick(outcome(i, [side.rig])) }).toEqual({
        i,
        cut,
        ids: ids.slice(cut),
        end,
      });
    }
    await expectNothingOpen(side);
  });

  test('over two workers', async () => {
    const arena = new FakeArena();
    const context = new Side(below, {
      slots: 3,
      kvExport: (runner) => new FakeExport(arena, runner),
    });
    const generate = new Side(below, {
      slots: 3,
      kvImport: (runner) => new FakeImport(arena, runner),
    });
    const list = forms.map((sampling, i) => {
      const { promptLogprobs: _, ...rest } = sampling;
      return commandOf({ sampling: rest, emittedIds: [] }, i);
    });
    for (const asked of list)
      generate.rig.engine.submit({ type: 'generate', source: 'handover', ...asked });
    let heard = 0;
    let admitted = 0;
    for (;;) {
      const turns = [await generate.turn(), await context.turn()];
      const before = heard + admitted;
      for (const event of generate.rig.events.slice(admitted)) {
        const asked = list.find(
          ({ requestId }) => 'requestId' in event && event.requestId === requestId,
        );
        if (event.type !== 'admitted' || asked === undefined) continue;
        context.rig.engine.submit({ type: 'prefill', kvPath: 'shm', ...asked });
      }
      admitted = generate.rig.events.length;
      for (const event of context.rig.events.slice(heard)) {
        const isEnd =
          event.type === 'tokens' && (event.finish !== null || event.fault !== undefined);
        if (isEnd || event.type === 'refused') {
          generate.rig.engine.submit({ type: 'abort', requestId: event.requestId });
        } else if (event.type === 'prefilled') {
          const { requestId, firstToken, ticket } = event;
          generate.rig.engine.submit({ type: 'import', requestId, firstToken, ticket });
        }
      }
      heard = context.rig.events.length;
      if (!turns.includes(true) && heard + admitted === before) break;
    }
    for (const i of forms.keys()) {
      expect({ i, ...pick(outcome(i, [context.rig, generate.rig])) }).toEqual({
        i,
        ...pick(wanted[i]),
      });
    }
    for (const side of [context, generate]) await expectNothingOpen(side);
  });
});

function pick(found: { ids: number[]; end: string } | undefined) {
  return { ids: found?.ids, end: found?.end };
}

async function expectNothingOpen(side: Side): Promise<void> {
  expect(side.rig.engine.load()).toMatchObject({ running: 0, waiting: 0 });
  expect(side.fake.grammars.openCount).toBe(0);
  await Promise.resolve();
  while (side.fake.thread?.work(1));
  expect(side.fake.thread?.desk.placeCount).toBe(0);
}

describe('a thread that', () => {
  /** Three answers, of which the first is under way and the last has no grammar. */
  async function threeAnswers() {
    const side = new Side(() => 0);
    side.rig.generate('a', promptOf(9, 1), { ...regex('[a-c]{9}'), maxTokens: 20 });
    side.rig.generate('b', promptOf(9, 2), { ...regex('[x-z]{7}'), maxTokens: 20 });
    side.rig.generate('free', promptOf(9, 3), { maxTokens: 12, ignoreEos: true });
    await Promise.resolve();
    return side;
  }
  const fault = (side: Side, id: string) => side.rig.of('tokens', id).at(-1)?.fault;
  const run = async (side: Side): Promise<void> => {
    while (await side.turn());
  };

  test('is slow keeps nobody else', async () => {
    const side = await threeAnswers();
    side.rig.settle();
    expect(side.rig.tokens('free').finish).toBe('length');
    expect(side.rig.tokens('a').ids).toEqual([]);
    await run(side);
    expect(side.rig.tokens('a').ids.length).toBeGreaterThan(4);
    expect(side.rig.tokens('b').finish).toBe('stop');
  });

  test('hangs is ended, and fails what it was at alone', async () => {
    const side = await threeAnswers();
    side.rig.settle();
    const { thread } = side.fake;
    thread?.deliver(); // it has started
    thread?.work(2); // the vocabulary, and compiling for a; then it hangs in a's mask
    side.fake.clock.advance(limit.grammarMaskMs);
    expect(thread?.isEnded).toBeFalse();
    side.fake.clock.advance(2 * limit.grammarWatchMs);
    expect(thread?.isEnded).toBeTrue();
    await run(side);
    expect(fault(side, 'a')?.code).toBe('invalid_request');
    expect(fault(side, 'a')?.message).toContain(`longer than ${limit.grammarMaskMs} ms`);
    expect(side.rig.tokens('b').finish).toBe('stop');
    expect(side.fake.threads).toHaveLength(2);
  });

  test('hangs in the middle of answers: the others go on behind what they have said', async () => {
    const side = await threeAnswers();
    const whole = await threeAnswers();
    await run(whole);
    while (side.rig.tokens('b').ids.length < 2) await side.turn();
    side.rig.settle();
    await Promise.resolve();
    side.fake.clock.advance(limit.grammarMaskMs + 3 * limit.grammarWatchMs);
    await run(side);
    const failed = ['a', 'b'].filter((id) => fault(side, id) !== undefined);
    expect(failed).toHaveLength(1);
    for (const id of ['a', 'b', 'free'].filter((each) => !failed.includes(each))) {
      expect(side.rig.tokens(id)).toEqual(whole.rig.tokens(id));
    }
    await expectNothingOpen(side);
  });

  test('never says a word fails one after the other, and nobody beside them', async () => {
    const side = await threeAnswers();
    for (let turn = 0; turn < 2; turn++) {
      side.rig.settle();
      await Promise.resolve();
      side.fake.clock.advance(limit.grammarStartMs + 2 * limit.grammarWatchMs);
    }
    side.rig.settle();
    for (const id of ['a', 'b']) expect(fault(side, id)?.code).toBe('engine');
    expect(side.rig.tokens('free').finish).toBe('length');
    expect(side.rig.engine.load()).toMatchObject({ running: 0, waiting: 0 });
    expect(side.fake.threads.filter(({ isEnded }) => !isEnded)).toEqual([]);
  });

  test('dies fails what it was at, and the next one goes on', async () => {
    const side = await threeAnswers();
    side.rig.settle();
    side.fake.thread?.deliver();
    side.fake.thread?.work(2);
    side.fake.thread?.onerror?.({ message: 'out of memory' });
    await run(side);
    expect(fault(side, 'a')).toMatchObject({ code: 'engine' });
    expect(fault(side, 'a')?.message).toContain('out of memory');
    expect(side.rig.tokens('b').finish).toBe('stop');
  });

  test('has nothing to do dies unnoticed', async () => {
    const side = await threeAnswers();
    await run(side);
    side.fake.thread?.onerror?.({ message: 'gone' });
    side.rig.generate('late', promptOf(9, 1), { ...regex('[a-c]{9}'), maxTokens: 20 });
    await Promise.resolve();
    await run(side);
    expect(side.rig.tokens('late').ids).toEqual(side.rig.tokens('a').ids);
    expect(side.fake.threads).toHaveLength(2);
  });

  test('is told to forget what was aborted', async () => {
    const side = await threeAnswers();
    side.rig.engine.submit({ type: 'abort', requestId: 'a' });
    side.rig.engine.submit({ type: 'abort', requestId: 'b' });
    await run(side);
    await expectNothingOpen(side);
  });
});

test('in its real thread: the masks of the built-in model, token by token', async () => {
  const store = new GrammarStore();
  store.learn(demoVocabulary);
  let woken = Promise.withResolvers<void>();
  const grammars = new ThreadGrammars({
    clock: realClock,
    start: startGrammarThread,
    wake: () => woken.resolve(),
  });
  grammars.learn(demoVocabulary);
  const chance = seededChance(11);
  for (let n = 0; n < 12; n++) {
    const spec = schemaSpec(makeSchema(chance));
    const [there, here] = [grammars.open(spec), store.open(spec)];
    const ids: number[] = [7, 8, 9];
    for (let count = 0; count < 40; count++) {
      let mask = there.mask(ids, 3);
      while (mask === null) {
        woken = Promise.withResolvers();
        mask = there.mask(ids, 3);
        if (mask === null) await woken.promise;
      }
      const wanted = here.mask(ids, 3);
      expect(mask).toEqual(wanted);
      const allowed = allowedIds(wanted);
      const id = allowed[chance.u32() % allowed.length];
      if (id === undefined) break;
      ids.push(id);
    }
    expect(ids.length).toBeGreaterThan(5);
    there.close();
  }
  expect(grammars.openCount).toBe(0);
  grammars.stop();
});
