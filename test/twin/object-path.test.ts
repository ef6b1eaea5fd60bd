// The built-in model on two workers that share nothing but an object store: blocks leave while later chunks
// are computed, arrive while others decode, and the answers are those of one worker, to the token, also when
// the transfer breaks off in the middle.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { MemoryObjectHub } from '../../src/plane/memory-object.ts';
import type { ObjectStore } from '../../src/plane/object-store.ts';
import type { EngineEvent } from '../../src/protocol/engine.ts';
import { limit } from '../../src/protocol/limit.ts';
import { neutralSampling } from '../../src/protocol/request.ts';
import { realClock } from '../../src/std/clock.ts';
import { type Fault, toFault } from '../../src/std/fault.ts';
import { drawAt, realChance } from '../../src/std/prng.ts';
import { type OpenPaths, pathsOf } from '../contract/kv-world.ts';
import { golden } from '../golden/fixture.ts';
import { TinyModel } from '../model/tiny-session.ts';
import { Answers, maxModelLen, type Request, TwinWorker, type WorkerOptions } from './worker.ts';

const { stepTokens } = limit;
const answerTokens = 12;
/** So many tokens are more than one chunk, whatever else the step does. */
const longTokens = 300;

let demo: TinyModel;
let requests: readonly Request[];
let wanted: Record<string, string>;
const ends: (() => void | Promise<void>)[] = [];

beforeAll(async () => {
  demo = await TinyModel.demo();
  const sampling = { ...neutralSampling, temperature: 0, seed: 0, maxTokens: answerTokens };
  const request = (requestId: string, promptIds: readonly number[]): Request => ({
    requestId,
    promptIds,
    priority: 0,
    sampling: { ...sampling, ignoreEos: true },
  });
  const text = golden.flatMap((one) => one.input_ids);
  const drawn = (salt: number): number[] =>
    Array.from({ length: longTokens }, (_, i) => {
      const at = Math.floor(drawAt(salt, Math.floor(i / 20)) * (text.length - 20)) + (i % 20);
      return text[at] ?? 0;
    });
  requests = [
    ...golden
      .filter(({ input_ids }) => input_ids.length + answerTokens <= maxModelLen)
      .slice(0, 8)
      .map(({ name, input_ids }) => request(name, input_ids)),
    ...[1, 2, 3].map((salt) => request(`long ${salt}`, drawn(salt))),
    // The same beginning as a long one: its blocks are there already.
    request('shared', [...drawn(1).slice(0, 200), ...drawn(4).slice(0, 90)]),
  ];
  wanted = aggregated();
}, 120_000);

afterAll(async () => {
  for (const end of ends) await end();
  demo.close();
});

function open(options: WorkerOptions): TwinWorker {
  const worker = new TwinWorker(demo, options);
  ends.push(() => worker.close());
  return worker;
}

function aggregated(): Record<string, string> {
  const worker = open({ role: 'baseline', slots: 4, stepTokens });
  const answers = new Answers();
  for (const one of requests) worker.engine.submit({ type: 'generate', source: 'local', ...one });
  while (worker.engine.step()) for (const event of worker.take()) answers.hear(event);
  return answers.all();
}

type Outcome = {
  readonly answers: Record<string, string>;
  /** Why KV did not come, by request. */
  readonly faults: ReadonlyMap<string, string>;
  /** Positions that had arrived when a transfer was given up. */
  readonly reached: ReadonlyMap<string, number>;
  /** Blocks that arrived before their prompt's last chunk was done. */
  readonly earlyBlocks: number;
  readonly savedBytes: number;
};

/** Both engines step by step, and between the steps whatever travels. */
class Split {
  readonly hub = new MemoryObjectHub({ clock: realClock, chance: realChance });
  readonly context: TwinWorker;
  readonly generate: TwinWorker;
  /** Called with each block before the reader's engine gets it; throws to break the transfer. */
  onBlock: (requestId: string, count: number) => void = () => undefined;
  readonly #send: OpenPaths;
  readonly #receive: OpenPaths;
  readonly #answers = new Answers();
  readonly #faults = new Map<string, string>();
  readonly #reached = new Map<string, number>();
  readonly #blockCounts = new Map<string, number>();
  readonly #prefilled = new Set<string>();
  readonly #failures: unknown[] = [];
  /** Name → bucket. */
  readonly #objects = new Map<string, string>();
  #hurting: 'corrupt' | 'lose' | null = null;
  #earlyBlocks = 0;
  #travelling = 0;

  constructor(options: { readonly caches: boolean; readonly stepTokens: number }) {
    const cacheOf = () => (options.caches ? realChance.id() : null); // two hosts: nothing in common
    const common = { slots: 3, stepTokens: options.stepTokens, arenaBytes: 1 << 25 };
    this.context = open({ role: 'context', ...common, cacheName: cacheOf() });
    this.generate = open({ role: 'generate', ...common, slots: 6, cacheName: cacheOf() });
    const paths = (worker: TwinWorker, role: 'context' | 'generate') => {
      const opened = pathsOf(
        {
          path: 'object',
          clock: realClock,
          namespace: 'twin',
          openStore: () => this.#noted(),
          geometry: worker.pool.geometry,
          modelDigest: demo.model.modelDigest,
        },
        { role, workerId: (worker.own?.arena.name ?? 'tdist-none').slice('tdist-'.length) },
        (command) => {
          if (command.type !== 'block') return;
          const { requestId } = command;
          const count = (this.#blockCounts.get(requestId) ?? 0) + 1;
          this.#blockCounts.set(requestId, count);
          if (!this.#prefilled.has(requestId)) this.#earlyBlocks++;
          this.onBlock(requestId, count);
          this.generate.engine.submit(command);
        },
      );
      ends.unshift(() => opened.close());
      return opened;
    };
    this.#send = paths(this.context, 'context');
    this.#receive = paths(this.generate, 'generate');
  }

  /** From now on nothing that has not been fetched can be read. */
  hurt(how: 'corrupt' | 'lose'): void {
    this.#hurting ??= how;
    for (const [name, bucket] of this.#objects) this.hub[how](bucket, name);
    this.#objects.clear();
  }

  /** The hub's store, and what is put there is written down. */
  #noted(): ObjectStore {
    const store = this.hub.open();
    return {
      trouble: () => store.trouble(),
      close: () => store.close(),
      bucket: (options) => {
        const bucket = store.bucket(options);
        return {
          name: bucket.name,
          put: async (name, bytes, call) => {
            const put = await bucket.put(name, bytes, call);
            if (put.outcome === 'stored') this.#objects.set(name, bucket.name);
            if (this.#hurting !== null) this.hurt(this.#hurting);
            return put;
          },
          info: (name, call) => bucket.info(name, call),
          get: (info, call) => bucket.get(info, call),
          remove: (info, call) => bucket.remove(info, call),
          usedBytes: (call) => bucket.usedBytes(call),
        };
      },
    };
  }

  async run(): Promise<Outcome> {
    for (const one of requests) {
      this.generate.engine.submit({ type: 'generate', source: 'handover', ...one });
    }
    for (;;) {
      const worked = [this.context.engine.step(), this.generate.engine.step()].includes(true);
      for (const event of this.context.take()) this.#onContext(event);
      for (const event of this.generate.take()) this.#onGenerate(event);
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#failures.length > 0) throw this.#failures[0];
      if (!worked && this.#travelling === 0 && this.#answers.endedCount === requests.length) break;
    }
    expect(this.context.own?.store.counts()).toMatchObject({ held: 0, leased: 0 });
    return {
      answers: this.#answers.all(),
      faults: this.#faults,
      reached: this.#reached,
      earlyBlocks: this.#earlyBlocks,
      savedBytes: this.#send.send.object.savedBytes(),
    };
  }

  #onContext(event: EngineEvent): void {
    if (event.type === 'load') return;
    const { requestId } = event;
    if (event.type === 'tokens') this.#answers.hear(event);
    if (event.type === 'staged') this.#send.send.object.stage(requestId, event.blocks);
    if (event.type !== 'prefilled') return;
    this.#prefilled.add(requestId);
    this.#travelling++;
    this.#handOver(event)
      .catch((error: unknown) => this.#failures.push(error))
      .finally(() => this.#travelling--);
  }

  #onGenerate(event: EngineEvent): void {
    if (event.type === 'load') return;
    const { requestId } = event;
    this.#answers.hear(event);
    if (event.type === 'admitted') this.#begin(requestId, event.heldTokens ?? 0);
    if (event.type === 'placed') {
      const { computed, refusal } = event;
      const fault = refusal === null ? null : toFault(new Error(refusal.message), 'transfer');
      this.#receive.receive.object.placed(requestId, computed, fault);
    }
    if (event.type === 'imported' && event.refusal !== null) {
      this.#faults.set(requestId, event.refusal.reason ?? event.refusal.code);
    }
  }

  #begin(requestId: string, heldTokens: number): void {
    const one = requests.find((request) => request.requestId === requestId);
    if (one === undefined) throw new Error(requestId);
    const receive = this.#receive.receive.object;
    receive.begin({ requestId, promptTokens: one.promptIds.length, heldTokens });
    const announce: Parameters<OpenPaths['send']['object']['begin']>[0]['announce'] = (blocks) =>
      receive.announce(requestId, 'float32', blocks);
    this.#send.send.object.begin({ requestId, heldTokens, announce });
    this.context.engine.submit({ type: 'prefill', kvPath: 'object', ...one });
  }

  async #handOver(event: Extract<EngineEvent, { type: 'prefilled' }>): Promise<void> {
    const { requestId, firstToken } = event;
    if (event.ticket === null) throw new Error(`${requestId}: no room in the arena`);
    const what = { type: 'import', requestId, firstToken } as const;
    try {
      const ticket = await this.#send.send.object.offer(requestId, event.ticket);
      await this.#receive.receive.object.finish(requestId, ticket);
      this.generate.engine.submit({ ...what, ticket });
    } catch (thrown) {
      const { message, reason }: Fault = toFault(thrown, 'transfer');
      this.#reached.set(requestId, this.generate.scheduler.find(requestId)?.computed ?? -1);
      const word = reason === undefined ? {} : { reason };
      const refusal = { v: 1, ok: false, code: 'transfer', message, ...word } as const;
      this.generate.engine.submit({ ...what, ticket: null, refusal });
    } finally {
      this.context.engine.submit({ type: 'release', requestId });
      this.#send.send.object.end(requestId);
      this.#receive.receive.object.end(requestId);
    }
  }
}

describe('the built-in model over the object store', () => {
  test('there are enough prompts, some longer than a step', () => {
    expect(Object.keys(wanted)).toHaveLength(12);
    expect(longTokens).toBeGreaterThan(stepTokens);
  });

  for (const caches of [false, true]) {
    for (const tokens of [stepTokens, 48]) {
      test(`${caches ? 'with' : 'without'} prefix cache, steps of ${tokens}`, async () => {
        const split = new Split({ caches, stepTokens: tokens });
        const first = await split.run();
        expect(first.answers).toEqual(wanted);
        expect([...first.faults]).toEqual([]);
        expect(first.earlyBlocks).toBeGreaterThan(0);
        expect(split.generate.engine.recomputes().transfer).toBe(0);
        expect(first.savedBytes).toBeGreaterThan(0);
      });
    }
  }

  for (const [how, reason] of [
    ['corrupt', 'corrupt'],
    ['lose', 'missing'],
  ] as const) {
    test(`${how} in the middle: the rest is computed, from the position reached`, async () => {
      const split = new Split({ caches: false, stepTokens: 64 });
      const hurt = new Set<string>();
      // From the third block on, nothing of a long prompt that is not yet fetched can be read.
      split.onBlock = (requestId, count) => {
        if (count !== 3 || !requestId.startsWith('long')) return;
        hurt.add(requestId);
        split.hurt(how);
      };
      const { answers, faults, reached } = await split.run();
      expect(answers).toEqual(wanted);
      expect(hurt.size).toBeGreaterThan(0);
      expect([...faults.values()]).toContain(reason);
      const middle = [...reached.values()].filter((at) => at >= 48 && at < longTokens);
      expect(middle.length).toBeGreaterThan(0);
      expect(split.generate.engine.recomputes().transfer).toBe(faults.size);
    });
  }

  test('the store goes away in the middle', async () => {
    const split = new Split({ caches: true, stepTokens: 64 });
    split.onBlock = (requestId, count) => {
      if (requestId.startsWith('long') && count === 6) split.hub.trouble = 'gone';
    };
    const { answers, faults, reached } = await split.run();
    expect(answers).toEqual(wanted);
    expect([...new Set(faults.values())]).toEqual(['unreachable']);
    expect([...reached.values()].some((at) => at >= 96)).toBeTrue();
  });
});
