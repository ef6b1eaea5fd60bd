import { describe, expect, test } from 'bun:test';
import type { EngineEvent } from '../../src/protocol/engine.ts';
import { limit } from '../../src/protocol/limit.ts';
import type { Sampling } from '../../src/protocol/request.ts';
import { Fault } from '../../src/std/fault.ts';
import { expectedTokens } from './fake-runner.ts';
import { FakeArena, FakeExport, FakeImport } from './fake-transfer.ts';
import { eosIds, greedy, maxModelLen, promptOf, Rig, vocabSize } from './rig.ts';

const expected = (prompt: readonly number[], sampling: Partial<Sampling> = {}) =>
  expectedTokens(prompt, { ...greedy, ...sampling }, { vocabSize, eosIds });

/** A prompt whose answer is as wanted: the fake model is random, so it is looked for. */
function promptWhere(
  wanted: (answer: ReturnType<typeof expected>) => boolean,
  sampling: Partial<Sampling> = {},
  length = 5,
): number[] {
  for (let salt = 0; salt < 20_000; salt++) {
    const prompt = promptOf(length, salt).map((id, i) => (id * (1 + (salt >> i))) % vocabSize);
    if (wanted(expected(prompt, sampling))) return prompt;
  }
  throw new Error('no such prompt');
}

const longEnough = promptWhere(({ ids }) => ids.length === 8);
const endsAtOnce = promptWhere(({ ids }) => ids.length === 0);
const endsLater = promptWhere(({ ids, finish }) => finish === 'stop' && ids.length === 3);

/** A context worker and a generate worker with a hand-over between them. */
function pair() {
  const arena = new FakeArena();
  const context = new Rig({ kvExport: (runner) => new FakeExport(arena, runner) });
  const holder: { importer: FakeImport | null } = { importer: null };
  const generate = new Rig({
    kvImport: (runner) => {
      holder.importer = new FakeImport(arena, runner);
      return holder.importer;
    },
  });
  return {
    arena,
    context,
    generate,
    fail(fault: Fault | null) {
      if (holder.importer !== null) holder.importer.fault = fault;
    },
    /** Prefills there, reserves here, carries the ticket over. */
    handOver(requestId: string, prompt: readonly number[], sampling: Partial<Sampling> = {}) {
      generate.reserve(requestId, prompt, sampling);
      generate.settle();
      context.prefill(requestId, prompt, sampling);
      context.settle();
      const prefilled = context.of('prefilled', requestId)[0];
      if (prefilled === undefined) throw new Error('nothing was prefilled');
      const { firstToken, ticket } = prefilled;
      generate.engine.submit({ type: 'import', requestId, firstToken, ticket });
      generate.settle();
      return prefilled;
    },
  };
}

const codes = (rig: Rig): string[] =>
  rig.events.flatMap((event) => (event.type === 'refused' ? [event.code] : []));

describe('refusals', () => {
  test('what does not fit the model’s length, to the token', () => {
    const rig = new Rig();
    rig.generate('fits', promptOf(maxModelLen - 8), { maxTokens: 8, ignoreEos: true });
    expect(codes(rig)).toEqual([]);
    rig.generate('long', promptOf(maxModelLen - 7), { maxTokens: 8 });
    expect(rig.of('refused', 'long')[0]).toEqual({
      type: 'refused',
      requestId: 'long',
      code: 'context_length',
      message: "prompt of 89 tokens and 8 to generate do not fit this worker's limit of 96",
    });
    rig.settle();
    expect(rig.tokens('fits').ids.length).toBe(8);
    expect(rig.runner.violations).toEqual([]);
  });

  test('a token the model has not', () => {
    const rig = new Rig();
    rig.generate('in', [vocabSize - 1]);
    rig.generate('out', [3, vocabSize, 4]);
    expect(rig.events).toEqual([
      {
        type: 'refused',
        requestId: 'out',
        code: 'invalid_request',
        message: "token id 61 is outside the model's vocabulary",
      },
    ]);
  });

  test('a name that is here already; the first one goes on unharmed', () => {
    const rig = new Rig();
    rig.generate('a', longEnough);
    rig.engine.step();
    rig.generate('a', promptOf(3));
    rig.settle();
    expect(codes(rig)).toEqual(['invalid_request']);
    expect(rig.tokens('a')).toEqual(expected(longEnough));
    rig.generate('a', endsLater); // gone now: the name is free again
    expect(codes(rig).length).toBe(1);
  });

  test('more than the queue holds', () => {
    const rig = new Rig({ slots: 1, queueCountMax: 2 });
    for (const name of ['a', 'b', 'c']) rig.generate(name, longEnough);
    expect(rig.of('refused', 'c').map(({ code }) => code)).toEqual(['overloaded']);
    rig.settle();
    rig.generate('c', longEnough);
    rig.settle();
    expect(rig.tokens('c')).toEqual(expected(longEnough));
  });

  test('prefill where nothing can be handed over', () => {
    const rig = new Rig();
    rig.prefill('a', longEnough);
    expect(rig.of('refused', 'a').map(({ code }) => code)).toEqual(['invalid_request']);
    expect(rig.settle()).toBe(0);
  });
});

describe('a generation', () => {
  test('is admitted once, gives one token an event, ends by length', () => {
    const rig = new Rig();
    rig.generate('a', longEnough);
    rig.settle();
    expect(rig.events[0]).toEqual({
      type: 'admitted',
      requestId: 'a',
      waitedMs: 0,
      heldTokens: 0,
    });
    expect(rig.of('admitted', 'a').length).toBe(1);
    expect(rig.tokens('a')).toEqual(expected(longEnough));
    expect(rig.of('tokens', 'a').map(({ ids }) => ids.length)).toEqual(new Array(8).fill(1));
    expect(rig.engine.load()).toMatchObject({
      running: 0,
      waiting: 0,
      slots: 4,
      freeTokens: 4 * maxModelLen,
    });
  });

  test('a stop token ends it and is not among its ids', () => {
    const rig = new Rig();
    rig.generate('a', endsLater);
    rig.settle();
    const { ids, finish } = rig.tokens('a');
    expect([ids.length, finish]).toEqual([3, 'stop']);
    expect(ids).toEqual(expected(endsLater).ids);
    for (const id of ids) expect(eosIds).not.toContain(id);
  });

  test('a stop token as the first gives an empty answer', () => {
    const rig = new Rig();
    rig.generate('a', endsAtOnce);
    rig.settle();
    expect(rig.tokens('a')).toEqual({ ids: [], finish: 'stop' });
  });

  test('ignore_eos lets stop tokens through as ordinary ones', () => {
    const rig = new Rig();
    rig.generate('a', endsLater, { ignoreEos: true });
    rig.settle();
    const { ids, finish } = rig.tokens('a');
    expect([ids.length, finish]).toEqual([8, 'length']);
    expect(ids.slice(0, 3)).toEqual(expected(endsLater).ids);
    expect(eosIds).toContain(ids[3] ?? -1);
  });

  test('a request that does not say takes the worker’s own ignore_eos', () => {
    for (const ignoreEos of [true, false]) {
      const rig = new Rig({ ignoreEos });
      rig.generate('silent', endsLater, { ignoreEos: null });
      rig.generate('yes', endsLater, { ignoreEos: true });
      rig.generate('no', endsLater, { ignoreEos: false });
      rig.settle();
      expect(rig.tokens('silent')).toEqual(expected(endsLater, { ignoreEos }));
      expect(rig.tokens('yes').ids.length).toBe(8);
      expect(rig.tokens('no').ids.length).toBe(3);
    }
  });

  test('min_tokens keeps stop tokens away, and only until then', () => {
    for (const minTokens of [1, 4, 8]) {
      const rig = new Rig();
      rig.generate('a', endsAtOnce, { minTokens });
      rig.generate('b', endsLater, { minTokens });
      rig.settle();
      expect(rig.tokens('a')).toEqual(expected(endsAtOnce, { minTokens }));
      expect(rig.tokens('a').ids.length).toBeGreaterThanOrEqual(minTokens);
      expect(rig.tokens('b')).toEqual(expected(endsLater, { minTokens }));
    }
    const rig = new Rig();
    rig.generate('c', endsLater, { minTokens: 3 });
    rig.settle();
    expect(rig.tokens('c').ids.length).toBe(3); // the fourth may be the stop token again
  });

  test('max tokens 1', () => {
    const rig = new Rig();
    rig.generate('a', longEnough, { maxTokens: 1 });
    rig.settle();
    expect(rig.tokens('a')).toEqual(expected(longEnough, { maxTokens: 1 }));
    expect(rig.tokens('a').finish).toBe('length');
  });

  test('with seeds: alone, together, and resumed from any token on, the same', () => {
    const sampling = { temperature: 1, topP: 0.9, seed: 5, maxTokens: 12, ignoreEos: true };
    const rig = new Rig();
    for (let i = 0; i < 8; i++) rig.generate(`r${i}`, promptOf(3 + i * 4, i), sampling);
    rig.settle();
    for (let i = 0; i < 8; i++) {
      expect(rig.tokens(`r${i}`)).toEqual(expected(promptOf(3 + i * 4, i), sampling));
    }
    const whole = rig.tokens('r2').ids;
    for (const done of [1, 5, 11]) {
      const prompt = [...promptOf(11, 2), ...whole.slice(0, done)];
      rig.generate(`again${done}`, prompt, { ...sampling, maxTokens: 12 - done });
      rig.settle();
      expect(rig.tokens(`again${done}`).ids).toEqual(whole.slice(done));
    }
  });

  test('says how long it waited and prefilled, with its first token alone', () => {
    const rig = new Rig({ slots: 1 });
    rig.runner.onCall = (kind) => rig.clock.advance(kind === 'prefill' ? 30 : 5);
    rig.generate('a', promptOf(10), { maxTokens: 3, ignoreEos: true });
    rig.generate('b', promptOf(1), { maxTokens: 2, ignoreEos: true });
    rig.clock.advance(7);
    rig.settle();
    const [first, ...others] = rig.of('tokens', 'a');
    expect(first?.timing).toEqual({ queueMs: 7, prefillMs: 60, cachedTokens: 0 });
    for (const event of others) expect('timing' in event).toBeFalse();
    // b began when a was done: 7 + two chunks + two decodes.
    expect(rig.of('tokens', 'b')[0]?.timing).toEqual({
      queueMs: 7 + 60 + 10,
      prefillMs: 5,
      cachedTokens: 0,
    });
  });

  test('load counts who has a slot, who waits, and what room is left', () => {
    const rig = new Rig({ slots: 2 });
    for (const name of ['a', 'b', 'c']) rig.generate(name, longEnough);
    expect(rig.engine.load()).toMatchObject({ running: 0, waiting: 3 });
    rig.engine.step();
    // Each has its prompt of 5 and what it may still grow by, 8.
    const freeTokens = 2 * maxModelLen - 2 * 13;
    expect(rig.engine.load()).toMatchObject({ running: 2, waiting: 1, slots: 2, freeTokens });
    rig.engine.submit({ type: 'abort', requestId: 'a' });
    expect(rig.engine.load().freeTokens).toBe(freeTokens + 13);
  });

  test('load counts prompt tokens still to compute, and the streams a prompt would stall', () => {
    const rig = new Rig({ slots: 3 });
    rig.generate('a', promptOf(20), { ignoreEos: true });
    rig.generate('b', promptOf(10), { ignoreEos: true });
    rig.reserve('waits', promptOf(30));
    rig.generate('queued', promptOf(12));
    expect(rig.engine.load()).toMatchObject({ pendingTokens: 42, decoding: 0 });
    rig.engine.step();
    expect(rig.engine.load()).toMatchObject({ pendingTokens: 34, decoding: 0 });
    for (let i = 0; i < 2; i++) rig.engine.step();
    // The third step had room for a's last 4 and 4 of b's.
    expect(rig.engine.load()).toMatchObject({ pendingTokens: 18, decoding: 1 });
    for (let i = 0; i < 2; i++) rig.engine.step();
    expect(rig.engine.load()).toMatchObject({ pendingTokens: 12, decoding: 2 });
  });
});

describe('prefill', () => {
  test('first token out and flushed, then the ticket; the slot is free again', () => {
    const { context } = pair();
    context.prefill('a', longEnough);
    context.settle();
    const token = expected(longEnough).ids[0] ?? -1;
    expect(context.events.map(({ type }) => type)).toEqual(['admitted', 'tokens', 'prefilled']);
    expect(context.tokens('a')).toEqual({ ids: [token], finish: null });
    // Admission at once, the token before the export begins.
    expect(context.flushes).toEqual([1, 2]);
    expect(context.of('prefilled', 'a')[0]).toMatchObject({ firstToken: token });
    expect(context.of('prefilled', 'a')[0]?.ticket?.tokens).toBe(longEnough.length);
    expect(context.engine.load().running).toBe(0);
  });

  for (const length of [1, 7, 8, 9, 16, 17, 25]) {
    test(`exports a prompt of ${length} whole, with chunks of 8`, () => {
      const { context, arena } = pair();
      const prompt = promptWhere(({ ids }) => ids.length > 0, {}, length);
      context.prefill('a', prompt);
      context.settle();
      expect(arena.staged.get('a')).toEqual(prompt);
    });
  }

  test('exports as it goes: whole blocks are staged before the prompt’s end', () => {
    const { context, arena } = pair();
    context.prefill('a', promptOf(20));
    context.engine.step();
    expect(arena.staged.get('a')?.length).toBe(8);
    context.engine.step();
    expect(arena.staged.get('a')?.length).toBe(16);
  });

  test('a stop token first: the answer is over, nothing is handed over, nothing stays staged', () => {
    const { context, arena } = pair();
    context.prefill('a', endsAtOnce);
    context.settle();
    expect(context.tokens('a')).toEqual({ ids: [], finish: 'stop' });
    expect(context.of('prefilled', 'a')).toEqual([]);
    expect(arena.staged.size).toBe(0);
    expect(context.engine.load().running).toBe(0);
  });

  test('max tokens 1: likewise, with the token', () => {
    const { context, arena } = pair();
    context.prefill('a', promptOf(20), { maxTokens: 1, ignoreEos: true });
    context.settle();
    expect(context.tokens('a').finish).toBe('length');
    expect(context.tokens('a').ids.length).toBe(1);
    expect(context.of('prefilled', 'a')).toEqual([]);
    expect(arena.staged.size).toBe(0);
  });

  test('no room in the arena: a ticket of null', () => {
    const { context, arena } = pair();
    arena.roomFor = 0;
    context.prefill('a', longEnough);
    context.settle();
    expect(context.of('prefilled', 'a')[0]?.ticket).toBeNull();
  });

  test('release gives the blocks back; of strangers it is harmless', () => {
    const { context, arena } = pair();
    context.prefill('a', longEnough);
    context.settle();
    context.engine.submit({ type: 'release', requestId: 'stranger' });
    expect(arena.staged.size).toBe(1);
    context.engine.submit({ type: 'release', requestId: 'a' });
    expect(arena.staged.size).toBe(0);
    new Rig().engine.submit({ type: 'release', requestId: 'a' }); // no exporter at all
  });
});

describe('import', () => {
  test('goes on after the first token with the very tokens of a local answer', () => {
    const world = pair();
    const prompts = Array.from({ length: 12 }, (_, i) =>
      promptWhere(({ ids }) => ids.length > 0, {}, 1 + i * 3),
    );
    world.generate.runner.onCall = (kind) => expect(kind).toBe('decode'); // nothing is computed twice
    for (const [i, prompt] of prompts.entries()) {
      const { firstToken } = world.handOver(`r${i}`, prompt);
      const rest = world.generate.tokens(`r${i}`, 1);
      expect({ ...rest, ids: [firstToken, ...rest.ids] }).toEqual(expected(prompt));
      expect(world.generate.of('imported', `r${i}`)).toEqual([
        { type: 'imported', requestId: `r${i}`, path: 'shm', refusal: null },
      ]);
    }
    expect([...world.generate.runner.violations, ...world.context.runner.violations]).toEqual([]);
  });

  test('tells path, bytes and time with the first tokens after it', () => {
    const world = pair();
    world.handOver('a', longEnough);
    const [first, second] = world.generate.of('tokens', 'a');
    expect(first?.timing).toEqual({
      kvPath: 'shm',
      kvBytes: 128 * longEnough.length,
      kvSavedBytes: 0,
      transferMs: 2, // of the export; this clock stands still
    });
    expect(second !== undefined && 'timing' in second).toBeFalse();
  });

  function expectFallback(
    world: ReturnType<typeof pair>,
    prompt: readonly number[],
    code: string | null,
  ): void {
    const { firstToken } = world.context.of('prefilled', 'a')[0] ?? { firstToken: -1 };
    const rest = world.generate.tokens('a', 1);
    expect({ ...rest, ids: [firstToken, ...rest.ids] }).toEqual(expected(prompt));
    const [imported] = world.generate.of('imported', 'a');
    expect(imported?.refusal?.code ?? null).toBe(code);
    expect(world.generate.of('tokens', 'a')[0]?.timing).toEqual({ kvPath: 'none', kvBytes: 0 });
    expect(world.generate.runner.violations).toEqual([]);
  }

  for (const length of [1, 6, 7, 8, 9, 30]) {
    const prompt = promptWhere(({ ids }) => ids.length > 1, {}, length);

    test(`no ticket: a prompt of ${length} is prefilled here, with the same tokens`, () => {
      const world = pair();
      world.arena.roomFor = 0;
      world.handOver('a', prompt);
      expectFallback(world, prompt, null); // nothing was refused: it is what was asked for
    });

    test(`a transfer fault: a prompt of ${length} is prefilled here over what had come`, () => {
      const world = pair();
      world.fail(new Fault('transfer', 'checksum'));
      world.handOver('a', prompt);
      expectFallback(world, prompt, 'transfer');
    });
  }

  test('a worker without an importer prefills here too', () => {
    const rig = new Rig();
    rig.reserve('a', longEnough);
    rig.settle();
    const firstToken = expected(longEnough).ids[0] ?? -1;
    rig.engine.submit({ type: 'import', requestId: 'a', firstToken, ticket: null });
    rig.settle();
    expect(rig.tokens('a', 1).ids).toEqual(expected(longEnough).ids.slice(1));
  });

  test('a mismatch ends the request with its message, and only this one', () => {
    const world = pair();
    world.generate.generate('other', longEnough);
    world.fail(new Fault('mismatch', 'model digest of context worker x is 1, here 2'));
    world.handOver('a', longEnough);
    expect(world.generate.of('imported', 'a')[0]?.refusal?.code).toBe('mismatch');
    expect(world.generate.of('tokens', 'a')).toEqual([
      {
        type: 'tokens',
        requestId: 'a',
        first: 1,
        ids: [],
        finish: null,
        fault: { code: 'mismatch', message: 'model digest of context worker x is 1, here 2' },
      },
    ]);
    expect(world.generate.tokens('other')).toEqual(expected(longEnough));
    expect(world.generate.engine.load().running).toBe(0);
  });

  test('a first token the model has not ends the request, not the batch', () => {
    const rig = new Rig();
    rig.generate('other', longEnough);
    rig.reserve('a', promptOf(4));
    rig.engine.step();
    rig.engine.submit({ type: 'import', requestId: 'a', firstToken: vocabSize, ticket: null });
    rig.settle();
    expect(rig.of('imported', 'a')[0]?.refusal?.code).toBe('mismatch');
    expect(rig.of('tokens', 'a')[0]?.fault?.code).toBe('mismatch');
    expect(rig.tokens('other')).toEqual(expected(longEnough));
  });

  test('for whom nobody waits: cancelled', () => {
    const rig = new Rig({ slots: 1 });
    rig.generate('local', longEnough);
    rig.reserve('queued', promptOf(4));
    rig.engine.step();
    for (const requestId of ['unknown', 'local', 'queued']) {
      rig.engine.submit({ type: 'import', requestId, firstToken: 3, ticket: null });
      expect(rig.of('imported', requestId)[0]?.refusal?.code).toBe('cancelled');
    }
    rig.settle();
    expect(rig.tokens('local')).toEqual(expected(longEnough));
  });

  test('twice: the second is cancelled, the answer stays right', () => {
    const world = pair();
    world.generate.reserve('a', longEnough);
    world.generate.settle();
    world.context.prefill('a', longEnough);
    world.context.settle();
    const { firstToken, ticket } = world.context.of('prefilled', 'a')[0] ?? {};
    if (firstToken === undefined || ticket === undefined) throw new Error('nothing was prefilled');
    for (let i = 0; i < 2; i++) {
      world.generate.engine.submit({ type: 'import', requestId: 'a', firstToken, ticket });
    }
    world.generate.settle();
    expect(world.generate.of('imported', 'a').map(({ refusal }) => refusal?.code)).toEqual([
      undefined,
      'cancelled',
    ]);
    expect(world.generate.tokens('a', 1).ids).toEqual(expected(longEnough).ids.slice(1));
  });

  test('a reservation holds its slot and lets the others work', () => {
    const rig = new Rig({ slots: 2 });
    rig.reserve('waits', promptOf(20));
    for (const name of ['b', 'c', 'd']) rig.generate(name, longEnough);
    rig.settle();
    for (const name of ['b', 'c', 'd']) expect(rig.tokens(name)).toEqual(expected(longEnough));
    expect(rig.engine.load()).toMatchObject({ running: 1, waiting: 0 });
    rig.engine.submit({ type: 'import', requestId: 'waits', firstToken: 3, ticket: null });
    rig.settle();
    expect(rig.tokens('waits', 1).ids.length).toBeGreaterThan(0);
    expect(rig.runner.violations).toEqual([]);
  });
});

describe('sweep', () => {
  test('gives a reservation up when no KV came in time, and its slot to who waits', () => {
    const rig = new Rig({ slots: 2 });
    rig.reserve('late', promptOf(9));
    rig.clock.advance(50_000); // waiting for a slot does not count
    rig.engine.step();
    rig.reserve('later', promptOf(9));
    rig.engine.step();
    rig.generate('queued', longEnough);
    rig.clock.advance(limit.reserveMs);
    rig.engine.sweep();
    rig.settle();
    expect(rig.of('tokens', 'late')).toEqual([]); // up to the last millisecond
    rig.engine.submit({ type: 'import', requestId: 'later', firstToken: 4, ticket: null });
    rig.clock.advance(1);
    rig.engine.sweep();
    expect(rig.of('tokens', 'late')).toEqual([
      {
        type: 'tokens',
        requestId: 'late',
        first: 0,
        ids: [],
        finish: null,
        fault: { code: 'timeout', message: `no KV came for late within ${limit.reserveMs} ms` },
      },
    ]);
    rig.settle();
    expect(rig.tokens('queued')).toEqual(expected(longEnough));
    expect(rig.tokens('later', 1).finish).not.toBeNull();
    rig.engine.submit({ type: 'import', requestId: 'late', firstToken: 4, ticket: null });
    expect(rig.of('imported', 'late')[0]?.refusal?.code).toBe('cancelled');
    expect(rig.engine.load()).toMatchObject({ running: 0, waiting: 0 });
  });

  test('leaves local requests alone however long they take, and sweeps leases too', () => {
    let sweeps = 0;
    const rig = new Rig({
      slots: 1,
      kvExport: (runner) => {
        const inner = new FakeExport(new FakeArena(), runner);
        inner.sweep = () => {
          sweeps++;
          return [];
        };
        return inner;
      },
    });
    rig.generate('slow', longEnough);
    rig.generate('queued', longEnough);
    rig.engine.step();
    rig.clock.advance(10 * limit.reserveMs);
    rig.engine.sweep();
    rig.settle();
    for (const name of ['slow', 'queued']) expect(rig.tokens(name)).toEqual(expected(longEnough));
    expect(sweeps).toBe(1);
  });
});

describe('abort', () => {
  /** Commands that bring a request 'a' into each of its phases. */
  const phases: Readonly<Record<string, (rig: Rig) => void>> = {
    'before its first step': (rig) => rig.generate('a', promptOf(30)),
    'while it queues': (rig) => {
      for (const name of ['x', 'y', 'z', 'w']) rig.generate(name, promptOf(20), { maxTokens: 60 });
      rig.engine.step();
      rig.generate('a', promptOf(30));
      rig.engine.step();
    },
    'between two chunks': (rig) => {
      rig.generate('a', promptOf(30));
      rig.engine.step();
    },
    'between two tokens': (rig) => {
      rig.generate('a', longEnough);
      for (let i = 0; i < 4; i++) rig.engine.step();
    },
    'while it waits for KV': (rig) => {
      rig.reserve('a', promptOf(9));
      rig.engine.step();
    },
    'right after the import': (rig) => {
      rig.reserve('a', promptOf(9));
      rig.engine.step();
      rig.engine.submit({ type: 'import', requestId: 'a', firstToken: 4, ticket: null });
    },
    'between two chunks of a prefill': (rig) => {
      rig.prefill('a', promptOf(30));
      rig.engine.step();
    },
    'when it has been handed over': (rig) => {
      rig.prefill('a', longEnough);
      rig.settle();
    },
    'when it is long gone': (rig) => {
      rig.generate('a', longEnough);
      rig.settle();
    },
    'when it never was': () => undefined,
  };
  for (const [name, begin] of Object.entries(phases)) {
    test(`${name}: silence, and everything is free after one step`, () => {
      const arena = new FakeArena();
      const rig = new Rig({ kvExport: (runner) => new FakeExport(arena, runner) });
      const { freeTokens } = rig.engine.load();
      begin(rig);
      const before: EngineEvent[] = [...rig.events];
      rig.engine.submit({ type: 'abort', requestId: 'a' });
      rig.engine.step();
      const { running, waiting, freeTokens: freeNow } = rig.engine.load();
      const others = name === 'while it queues' ? 4 : 0;
      expect(running + waiting).toBe(others);
      if (others === 0) expect(freeNow).toBe(freeTokens);
      expect(arena.staged.size).toBe(0);
      rig.generate('b', longEnough);
      rig.settle();
      const after = rig.events.slice(before.length);
      expect(after.filter((event) => 'requestId' in event && event.requestId === 'a')).toEqual([]);
      expect(rig.tokens('b')).toEqual(expected(longEnough));
      expect(rig.engine.load()).toMatchObject({ running: 0, waiting: 0 });
      expect(arena.staged.size).toBe(0);
      expect(rig.runner.violations).toEqual([]);
      // The name can come again and starts anew.
      rig.generate('a', longEnough);
      rig.events.length = 0;
      rig.settle();
      expect(rig.tokens('a')).toEqual(expected(longEnough));
      expect(rig.of('tokens', 'a')[0]?.timing?.kvPath).toBeUndefined();
    });
  }
});

describe('a model that fails', () => {
  test('in a decode batch: a fault for each of its rows, the prompt beside it lives', () => {
    const rig = new Rig();
    rig.generate('a', longEnough);
    rig.generate('b', endsLater);
    for (let i = 0; i < 3; i++) rig.engine.step();
    rig.generate('prompt', promptOf(30));
    rig.generate('queued', longEnough);
    let failures = 1;
    rig.runner.onCall = (kind) => {
      if (kind === 'decode' && failures-- > 0) throw new Error('out of memory');
    };
    rig.settle();
    for (const name of ['a', 'b']) {
      const last = rig.of('tokens', name).at(-1);
      expect(last?.fault).toEqual({ code: 'engine', message: 'out of memory' });
      expect(last?.first).toBe(rig.of('tokens', name).length - 1);
      expect([last?.ids, last?.finish]).toEqual([[], null]);
    }
    expect(rig.tokens('prompt')).toEqual(expected(promptOf(30)));
    expect(rig.tokens('queued')).toEqual(expected(longEnough));
    expect(rig.engine.load().running).toBe(0);
    expect(rig.runner.violations).toEqual([]);
  });

  test('in a chunk: a fault for it alone', () => {
    const arena = new FakeArena();
    const rig = new Rig({ kvExport: (runner) => new FakeExport(arena, runner) });
    rig.generate('a', longEnough);
    rig.engine.step();
    rig.prefill('p', promptOf(30));
    rig.engine.step();
    expect(arena.staged.has('p')).toBeTrue();
    rig.runner.onCall = (kind) => {
      if (kind === 'prefill') throw new Fault('engine', 'running the model: no');
    };
    rig.engine.step();
    rig.runner.onCall = () => undefined;
    rig.settle();
    expect(rig.of('tokens', 'p').map(({ fault }) => fault)).toEqual([
      { code: 'engine', message: 'running the model: no' },
    ]);
    expect(rig.of('prefilled', 'p')).toEqual([]);
    expect(arena.staged.size).toBe(0);
    expect(rig.tokens('a')).toEqual(expected(longEnough));
  });

  test('always: everybody hears of it, nobody hangs, and it may heal', () => {
    const rig = new Rig({ slots: 2 });
    rig.runner.onCall = () => {
      throw new Error('dead');
    };
    for (let i = 0; i < 6; i++) rig.generate(`r${i}`, promptOf(1 + i * 5));
    rig.settle();
    for (let i = 0; i < 6; i++) expect(rig.of('tokens', `r${i}`)[0]?.fault?.message).toBe('dead');
    rig.runner.onCall = () => undefined;
    rig.generate('next', longEnough);
    rig.settle();
    expect(rig.tokens('next')).toEqual(expected(longEnough));
  });

  test('after a fallback: numbered after the first token', () => {
    const rig = new Rig();
    rig.reserve('a', promptOf(9));
    rig.settle();
    rig.engine.submit({ type: 'import', requestId: 'a', firstToken: 4, ticket: null });
    rig.runner.onCall = () => {
      throw new Error('dead');
    };
    rig.settle();
    expect(rig.of('tokens', 'a').map(({ first, fault }) => [first, fault?.code])).toEqual([
      [1, 'engine'],
    ]);
  });
});
