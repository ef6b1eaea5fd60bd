// KV that comes block by block into a slot whose sequence waits, beside all that an engine does otherwise.

import { describe, expect, test } from 'bun:test';
import { limit } from '../../src/protocol/limit.ts';
import type { ObjectTicket } from '../../src/protocol/ticket.ts';
import { Fault } from '../../src/std/fault.ts';
import { drawAt } from '../../src/std/prng.ts';
import { FakeCache } from './fake-cache.ts';
import { expectedTokens } from './fake-runner.ts';
import { FakeArena, FakeImport, frameOf } from './fake-transfer.ts';
import { eosIds, greedy, promptOf, Rig, vocabSize } from './rig.ts';

const long = { ignoreEos: true, maxTokens: 30 };
const blockTokens = 4;

const expected = (prompt: readonly number[]) =>
  expectedTokens(prompt, { ...greedy, ...long }, { vocabSize, eosIds });

function ticketOf(prompt: readonly number[]): ObjectTicket {
  return {
    kind: 'object',
    owner: 'c',
    modelDigest: '0'.repeat(64),
    dtype: 'float32',
    geometry: { layers: 1, kvHeads: 1, headDim: 16, blockTokens },
    tokens: prompt.length,
    blocks: [],
    exportMs: 3,
  };
}

/** A generate worker's engine; `chunks` are the prompt parts that it computed: [past, count]. */
class Generate extends Rig {
  readonly chunks: [number, number][] = [];
  importer: FakeImport | null = null;

  constructor(options: ConstructorParameters<typeof Rig>[0] = {}) {
    const made: FakeImport[] = [];
    super({
      kvImport: (runner) => {
        const importer = new FakeImport(new FakeArena(), runner);
        made.push(importer);
        return importer;
      },
      ...options,
    });
    this.importer = made[0] ?? null;
    const { runner } = this;
    const prefill = runner.prefill.bind(runner);
    runner.prefill = (step) => {
      this.chunks.push([step.past, step.ids.length]);
      return prefill(step);
    };
  }

  /** The block that begins there. */
  block(requestId: string, prompt: readonly number[], from: number): void {
    const frame = frameOf(prompt.slice(from, from + blockTokens));
    this.engine.submit({ type: 'block', requestId, frame });
  }

  blocks(requestId: string, prompt: readonly number[], from = 0, to = prompt.length): void {
    for (let at = from; at < to; at += blockTokens) this.block(requestId, prompt, at);
  }

  import(requestId: string, prompt: readonly number[], reason?: string): void {
    const firstToken = expected(prompt).ids[0] ?? -1;
    const what = { type: 'import', requestId, firstToken } as const;
    if (reason === undefined) {
      this.engine.submit({ ...what, ticket: ticketOf(prompt), waitedMs: 5 });
      return;
    }
    const refusal = { v: 1, ok: false, code: 'transfer', message: 'so', reason } as const;
    this.engine.submit({ ...what, ticket: null, refusal });
  }

  /** All that follows the first token is what a local answer would have been. */
  expectRest(requestId: string, prompt: readonly number[]): void {
    const { ids, finish } = expected(prompt);
    expect({ requestId, ...this.tokens(requestId, 1) }).toEqual({
      requestId,
      ids: ids.slice(1),
      finish,
    });
  }
}

describe('blocks', () => {
  test('come in order while others decode on both sides of the one that waits', () => {
    const rig = new Generate({ slots: 3 });
    const [left, prompt, right] = [promptOf(6, 1), promptOf(22, 2), promptOf(7, 3)];
    rig.generate('left', left, long);
    rig.reserve('a', prompt, long);
    rig.generate('right', right, long);
    for (let i = 0; i < 4; i++) rig.engine.step();
    expect(rig.scheduler.find('a')?.slot).toBe(1); // a passenger of every batch
    for (let from = 0; from < 22; from += blockTokens) {
      rig.block('a', prompt, from);
      rig.engine.step();
      rig.engine.step();
    }
    rig.engine.step(); // all there, nobody has said so: its dummy falls behind the prompt
    const computed = rig.of('placed', 'a').map((event) => [event.computed, event.refusal]);
    expect(computed).toEqual([4, 8, 12, 16, 20, 22].map((at) => [at, null]));
    rig.import('a', prompt);
    const [imported] = rig.of('imported', 'a');
    expect(imported).toEqual({ type: 'imported', requestId: 'a', path: 'object', refusal: null });
    rig.settle();
    rig.expectRest('a', prompt);
    expect(rig.tokens('left')).toEqual(expected(left));
    expect(rig.tokens('right')).toEqual(expected(right));
    expect(rig.chunks.every(([, count]) => count < 8)).toBeTrue(); // none of the 22
    expect(rig.runner.violations).toEqual([]);
    expect(rig.of('tokens', 'a')[0]?.timing).toEqual({
      kvPath: 'object',
      kvBytes: 22 * 4,
      kvSavedBytes: 0,
      transferMs: 8, // 3 of the export, 5 of waiting
    });
    expect(rig.engine.recomputes().transfer).toBe(0);
  });

  test('refused: told with the position reached, and only what misses is computed', () => {
    const rig = new Generate();
    const prompt = promptOf(22, 2);
    rig.reserve('a', prompt, long);
    rig.engine.step();
    rig.blocks('a', prompt, 0, 12);
    rig.block('a', promptOf(22, 9), 12);
    const last = rig.of('placed', 'a').at(-1);
    expect(last).toMatchObject({ computed: 12, refusal: { code: 'transfer', reason: 'digest' } });
    rig.import('a', prompt, 'digest');
    expect(rig.of('imported', 'a')[0]).toMatchObject({
      path: 'object',
      refusal: { code: 'transfer', reason: 'digest' },
    });
    rig.settle();
    rig.expectRest('a', prompt);
    expect(rig.chunks).toEqual([
      [12, 8],
      [20, 3],
    ]);
    expect(rig.of('tokens', 'a')[0]?.timing).toEqual({ kvPath: 'none', kvBytes: 0 });
    expect(rig.engine.recomputes().transfer).toBe(1);
    expect(rig.runner.violations).toEqual([]);
  });

  test('the same again after a refusal, as it should have been', () => {
    const rig = new Generate();
    const prompt = promptOf(8, 2);
    rig.reserve('a', prompt, long);
    rig.engine.step();
    rig.block('a', prompt, 4); // out of order: it is not the block at 0
    rig.blocks('a', prompt);
    const computed = rig.of('placed', 'a').map((event) => event.computed);
    expect(computed).toEqual([0, 4, 8]);
    rig.import('a', prompt);
    rig.settle();
    rig.expectRest('a', prompt);
  });

  test('for whom nobody waits (any more) are dropped without a word', () => {
    const rig = new Generate({ slots: 2 });
    const prompt = promptOf(22, 2);
    rig.generate('local', prompt, long);
    rig.reserve('gone', prompt, long);
    rig.reserve('queued', prompt, long);
    rig.engine.step();
    rig.block('gone', prompt, 0);
    rig.engine.submit({ type: 'abort', requestId: 'gone' });
    rig.block('queued', prompt, 0); // no slot yet
    for (const id of ['gone', 'local', 'unknown']) rig.blocks(id, prompt, 4);
    for (const id of ['queued', 'local', 'unknown']) expect(rig.of('placed', id)).toEqual([]);
    expect(rig.of('placed', 'gone')).toHaveLength(1);
    rig.engine.step(); // the slot of the one is the other's now
    rig.blocks('gone', promptOf(22, 7));
    rig.blocks('queued', prompt);
    rig.import('queued', prompt);
    rig.blocks('queued', promptOf(22, 7)); // too late: it decodes
    rig.settle();
    rig.expectRest('queued', prompt);
    expect(rig.tokens('local')).toEqual(expected(prompt));
    expect(rig.runner.violations).toEqual([]);
  });

  test('at a worker that cannot take them: prefilled here', () => {
    const rig = new Generate({ kvImport: undefined as never });
    expect(rig.importer).toBeNull();
    const prompt = promptOf(9, 2);
    rig.reserve('a', prompt, long);
    rig.engine.step();
    rig.blocks('a', prompt);
    expect(rig.of('placed', 'a')).toEqual([]);
    rig.import('a', prompt, 'timeout');
    rig.settle();
    rig.expectRest('a', prompt);
  });
});

describe('the import', () => {
  for (const arrived of [0, 4, 8, 20, 22]) {
    test(`with a refusal when ${arrived} of 22 tokens are there`, () => {
      const rig = new Generate();
      const prompt = promptOf(22, 2);
      rig.reserve('a', prompt, long);
      rig.generate('other', promptOf(5, 4), long);
      rig.engine.step();
      rig.blocks('a', prompt, 0, arrived);
      rig.engine.step();
      rig.import('a', prompt, 'timeout');
      rig.chunks.splice(0);
      rig.settle();
      rig.expectRest('a', prompt);
      expect(rig.tokens('other')).toEqual(expected(promptOf(5, 4)));
      const computed = rig.chunks.reduce((sum, [, count]) => sum + count, 0);
      expect(computed).toBe(arrived === 22 ? 0 : 23 - arrived); // one alone is a row of the batch
      expect(rig.chunks.every(([past]) => past >= arrived)).toBeTrue();
      expect(rig.runner.violations).toEqual([]);
    });
  }

  test('with a ticket though not all is there: truncated, the rest is computed', () => {
    const rig = new Generate();
    const prompt = promptOf(22, 2);
    rig.reserve('a', prompt, long);
    rig.engine.step();
    rig.blocks('a', prompt, 0, 16);
    rig.import('a', prompt);
    expect(rig.of('imported', 'a')[0]?.refusal).toMatchObject({ reason: 'truncated' });
    rig.settle();
    rig.expectRest('a', prompt);
    expect(rig.chunks).toEqual([[16, 7]]);
  });

  test('without ticket or refusal (the context worker died): goes on where the blocks end', () => {
    const rig = new Generate();
    const prompt = promptOf(22, 2);
    rig.reserve('a', prompt, long);
    rig.engine.step();
    rig.blocks('a', prompt, 0, 12);
    const firstToken = expected(prompt).ids[0] ?? -1;
    rig.engine.submit({ type: 'import', requestId: 'a', firstToken, ticket: null });
    rig.settle();
    rig.expectRest('a', prompt);
    expect(rig.chunks[0]).toEqual([12, 8]);
  });

  test('behind a restored beginning: blocks follow it, and it counts as saved', () => {
    const blocks = new Map<string, readonly number[]>();
    const rig = new Generate({ kvCache: (runner) => new FakeCache(runner, { blocks }) });
    const prompt = promptOf(22, 2);
    rig.generate('before', prompt.slice(0, 10), long);
    rig.settle();
    rig.reserve('a', prompt, long);
    rig.engine.step();
    expect(rig.of('admitted', 'a')[0]?.heldTokens).toBe(8);
    rig.chunks.splice(0);
    rig.blocks('a', prompt, 8);
    rig.import('a', prompt);
    rig.settle();
    rig.expectRest('a', prompt);
    expect(rig.chunks).toEqual([]);
    const [first] = rig.of('tokens', 'a');
    expect(first?.timing).toMatchObject({ kvBytes: 14 * 4, kvSavedBytes: 8 * 128 });
    expect(rig.runner.violations).toEqual([]);
  });

  test('what came is not lost to a shorter memory, and a longer one is used', () => {
    for (const [known, past] of [
      [10, 16],
      [21, 20],
    ] as const) {
      const blocks = new Map<string, readonly number[]>();
      const rig = new Generate({ kvCache: (runner) => new FakeCache(runner, { blocks }) });
      const prompt = promptOf(22, 2);
      rig.reserve('a', prompt, long);
      rig.engine.step();
      rig.blocks('a', prompt, 0, 16);
      rig.generate('other', prompt.slice(0, known), { maxTokens: 1 });
      rig.settle();
      rig.chunks.splice(0);
      rig.import('a', prompt, 'missing');
      rig.settle();
      rig.expectRest('a', prompt);
      expect(rig.chunks[0]?.[0]).toBe(past);
      expect(rig.runner.violations).toEqual([]);
    }
  });

  test('what came is not lost to a block of the memory that breaks while it is read', () => {
    const blocks = new Map<string, readonly number[]>();
    const caches: FakeCache[] = [];
    const rig = new Generate({
      kvCache: (runner) => {
        caches.push(new FakeCache(runner, { blocks }));
        return caches[0] ?? new FakeCache(runner);
      },
    });
    const prompt = promptOf(22, 2);
    rig.reserve('a', prompt, long);
    rig.engine.step();
    rig.blocks('a', prompt, 0, 12);
    rig.generate('other', prompt, { maxTokens: 1 });
    rig.settle();
    for (const cache of caches) cache.isBroken = () => true;
    rig.chunks.splice(0);
    rig.import('a', prompt, 'missing');
    rig.settle();
    rig.expectRest('a', prompt);
    expect(rig.chunks[0]?.[0]).toBe(12);
    expect(rig.runner.violations).toEqual([]);
  });

  test('never: given up after its time, blocks or not, and the slot is the next one’s', () => {
    const rig = new Generate({ slots: 1 });
    const prompt = promptOf(22, 2);
    rig.reserve('a', prompt, long);
    rig.engine.step();
    rig.blocks('a', prompt, 0, 12);
    rig.clock.advance(limit.reserveMs + 1);
    rig.engine.sweep();
    expect(rig.of('tokens', 'a')[0]?.fault?.code).toBe('timeout');
    rig.generate('next', prompt, long);
    rig.blocks('a', prompt, 12);
    rig.settle();
    expect(rig.tokens('next')).toEqual(expected(prompt));
    expect(rig.runner.violations).toEqual([]);
  });
});

describe('memory', () => {
  test('holds its bound: blocks that come drive out what vacated slots still hold', () => {
    const rig = new Generate({ slots: 3, maxModelLen: 100, tokensMax: 120 });
    for (const name of ['x', 'y', 'z']) rig.generate(name, promptOf(20, 3), { maxTokens: 10 });
    rig.settle();
    expect(rig.runner.memory.residentTokens()).toBeGreaterThan(60);
    const prompt = promptOf(60, 2);
    rig.reserve('a', prompt, long);
    rig.engine.step();
    for (let from = 0; from < 60; from += blockTokens) {
      rig.block('a', prompt, from);
      expect(rig.runner.memory.residentTokens()).toBeLessThanOrEqual(120);
    }
    rig.import('a', prompt);
    rig.settle();
    rig.expectRest('a', prompt);
    expect(rig.runner.violations).toEqual([]);
  });

  test('preemption never takes one that waits, however young, and its blocks stay', () => {
    const rig = new Generate({ slots: 3, stepTokens: 64, maxModelLen: 150, tokensMax: 270 });
    const sampling = { maxTokens: 100, ignoreEos: true };
    for (const [i, name] of ['old', 'young'].entries()) {
      rig.generate(name, promptOf(40, i), sampling);
      rig.clock.advance(1);
    }
    const prompt = promptOf(30, 2);
    rig.reserve('a', prompt, long);
    rig.engine.step();
    rig.blocks('a', prompt, 0, 16);
    while (rig.scheduler.preemptionCount === 0) expect(rig.engine.step()).toBeTrue();
    expect(rig.scheduler.find('young')?.slot).toBeNull();
    const slot = rig.scheduler.find('a')?.slot ?? -1;
    expect(rig.runner.rows(slot, 16)).toEqual(prompt.slice(0, 16));
    rig.blocks('a', prompt, 16);
    rig.import('a', prompt);
    rig.settle();
    rig.expectRest('a', prompt);
    for (const [i, name] of ['old', 'young'].entries()) {
      const wanted = expectedTokens(
        promptOf(40, i),
        { ...greedy, ...sampling },
        { vocabSize, eosIds },
      );
      expect(rig.tokens(name)).toEqual(wanted);
    }
    expect(rig.runner.violations).toEqual([]);
  });
});

describe('everything at once', () => {
  for (let seed = 1; seed <= 12; seed++) {
    test(`seed ${seed}: every answer right, nothing violated, nothing left`, () => {
      const blocks = new Map<string, readonly number[]>();
      const rig = new Generate({
        slots: 4,
        stepTokens: 16,
        maxModelLen: 100,
        tokensMax: 220,
        ...(seed % 2 === 0 ? { kvCache: (runner) => new FakeCache(runner, { blocks }) } : {}),
      });
      let draws = 0;
      const draw = (below: number): number => Math.floor(drawAt(seed, draws++) * below);
      const waiting = new Map<string, readonly number[]>();
      const prompts = new Map<string, { prompt: readonly number[]; from: number }>();
      const actions = [
        (id: string) => {
          const prompt = promptOf(1 + draw(40), draw(5));
          rig.generate(id, prompt, long);
          prompts.set(id, { prompt, from: 0 });
        },
        (id: string) => {
          const prompt = promptOf(1 + draw(40), draw(5));
          rig.reserve(id, prompt, long);
          waiting.set(id, prompt);
        },
      ];
      for (let round = 0; round < 400; round++) {
        if (round < 300 && draw(6) === 0) actions[draw(2)]?.(`r${round}`);
        rig.clock.advance(1);
        rig.engine.step();
        for (const [id, prompt] of waiting) {
          const sequence = rig.scheduler.find(id);
          if (sequence?.slot == null) continue;
          const what = draw(12);
          if (rig.importer !== null) {
            rig.importer.fault =
              what === 0 ? new Fault('transfer', 'so', { reason: 'corrupt' }) : null;
          }
          const { computed } = sequence;
          if (computed < prompt.length && what < 8) rig.block(id, prompt, computed);
          else if (what === 11 && draw(4) === 0) {
            rig.engine.submit({ type: 'abort', requestId: id });
            waiting.delete(id);
          } else if (computed === prompt.length || (what === 10 && draw(3) === 0)) {
            rig.import(id, prompt, draw(4) === 0 ? 'timeout' : undefined);
            prompts.set(id, { prompt, from: 1 });
            waiting.delete(id);
          }
        }
      }
      for (const [id, prompt] of waiting) {
        while (rig.scheduler.find(id)?.slot == null) expect(rig.engine.step()).toBeTrue();
        rig.import(id, prompt, 'timeout');
        prompts.set(id, { prompt, from: 1 });
      }
      rig.settle();
      expect(prompts.size).toBeGreaterThan(20);
      for (const [id, { prompt, from }] of prompts) {
        const { ids, finish } = expected(prompt);
        expect({ id, ...rig.tokens(id, from) }).toEqual({ id, ids: ids.slice(from), finish });
      }
      expect(rig.engine.load()).toMatchObject({ running: 0, waiting: 0 });
      expect(rig.runner.violations).toEqual([]);
    });
  }
});
