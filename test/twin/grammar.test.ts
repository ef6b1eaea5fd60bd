// Answers held to grammars by the built-in model at temperature 1: all that end are valid, and they are
// the same alone, in a batch, after preemption and over two workers, wherever masks are worked out.

import { afterAll, beforeAll, expect, test } from 'bun:test';
import Ajv2020 from 'ajv/dist/2020.js';
import type { Grammars } from '../../src/grammar/guide.ts';
import { GrammarStore } from '../../src/grammar/store.ts';
import type { EngineEvent } from '../../src/protocol/engine.ts';
import { limit } from '../../src/protocol/limit.ts';
import { neutralSampling } from '../../src/protocol/request.ts';
import { ThreadGrammars } from '../../src/role/grammar.ts';
import { startGrammarThread } from '../../src/role/grammar-port.ts';
import { realClock } from '../../src/std/clock.ts';
import { seededChance } from '../../src/std/prng.ts';
import { golden } from '../golden/fixture.ts';
import { schemaSpec } from '../grammar/accepts.ts';
import { makeSchema } from '../grammar/schema-maker.ts';
import { demoVocabulary, textOf } from '../grammar/vocabulary-world.ts';
import { TinyModel } from '../model/tiny-session.ts';
import { type Request, TwinWorker, type WorkerOptions } from './worker.ts';

const { stepTokens } = limit;
let demo: TinyModel;
const workers: TwinWorker[] = [];
beforeAll(async () => {
  demo = await TinyModel.demo();
});
afterAll(() => {
  for (const thread of threads) thread.stop();
  for (const worker of workers) worker.close();
  demo.close();
});

function inPlace(): Grammars {
  const grammars = new GrammarStore();
  grammars.learn(demoVocabulary);
  return grammars;
}

const threads: ThreadGrammars[] = [];

/** Masks come from a real thread, in their own time. */
function inThread(): Grammars {
  const grammars = new ThreadGrammars({
    clock: realClock,
    start: startGrammarThread,
    wake: () => undefined, // the loop below asks again and again
  });
  grammars.learn(demoVocabulary);
  threads.push(grammars);
  return grammars;
}

function open(options: Omit<WorkerOptions, 'stepTokens'>): TwinWorker {
  const worker = new TwinWorker(demo, { stepTokens, grammars: inPlace(), ...options });
  workers.push(worker);
  return worker;
}

const prompts = golden.map(({ input_ids }) => input_ids).filter((ids) => ids.length < 60);
const chance = seededChance(23);
const schemas = Array.from({ length: 200 }, () => makeSchema(chance));
const requests: readonly Request[] = schemas.map((schema, i) => ({
  requestId: `r${i}`,
  promptIds: prompts[i % prompts.length] ?? [],
  priority: 0,
  sampling: {
    ...neutralSampling,
    seed: i,
    maxTokens: 250,
    // What a grammar that has ended overrules.
    ignoreEos: i % 2 === 0,
    minTokens: i % 3 === 0 ? 250 : 0,
    grammar: schemaSpec(schema),
  },
}));

type Answer = { readonly ids: number[]; finish: string | null };

class Book {
  readonly answers = new Map<string, Answer>();

  hear(events: readonly EngineEvent[]): void {
    for (const event of events) {
      if (event.type === 'refused') throw new Error(`${event.requestId}: ${event.message}`);
      if (event.type !== 'tokens') continue;
      if (event.fault !== undefined) throw new Error(`${event.requestId}: ${event.fault.message}`);
      const answer = this.answers.get(event.requestId) ?? { ids: [], finish: null };
      expect(event.first).toBe(answer.ids.length);
      answer.ids.push(...event.ids);
      answer.finish = event.finish;
      this.answers.set(event.requestId, answer);
    }
  }

  all(): [string, Answer][] {
    return [...this.answers].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

function runOn(worker: TwinWorker, list: readonly Request[]): Promise<Book> {
  const book = new Book();
  for (const request of list) {
    worker.engine.submit({ type: 'generate', source: 'local', ...request });
  }
  return untilIdle(worker, () => {
    worker.engine.step();
    book.hear(worker.take());
  }).then(() => book);
}

/** Turns, and what other threads have to say between them. */
async function untilIdle({ engine }: TwinWorker, turn: () => void): Promise<void> {
  for (;;) {
    turn();
    const { running, waiting } = engine.load();
    if (running + waiting === 0) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('all of 200 schemas that end are met', async () => {
  const { answers } = await runOn(open({ role: 'baseline', slots: 16 }), requests);
  let ended = 0;
  for (const [i, schema] of schemas.entries()) {
    const { ids = [], finish } = answers.get(`r${i}`) ?? {};
    if (finish !== 'stop') continue;
    ended++;
    const text = textOf(ids);
    const validate = new Ajv2020({ strict: false }).compile(schema as object);
    const isValid = validate(JSON.parse(text));
    expect({ i, text, isValid, errors: validate.errors }).toEqual({
      i,
      text,
      isValid: true,
      errors: null,
    });
  }
  expect(answers.size).toBe(200);
  expect(ended).toBeGreaterThan(150);
}, 240_000);

test('the same alone, preempted, and over two workers, with masks in place or by a thread', async () => {
  const list = requests.slice(0, 24);
  const alone = open({ role: 'baseline', slots: 1 });
  const wanted = (await runOn(alone, list)).all();
  for (const grammarsOf of [inPlace, inThread]) {
    const grammars = grammarsOf();
    const tight = open({ role: 'baseline', slots: 8, tokensMax: 330, grammars });
    expect((await runOn(tight, list)).all()).toEqual(wanted);
    expect(tight.scheduler.preemptionCount).toBeGreaterThan(0);
    expect((await disaggregated(list, grammarsOf)).all()).toEqual(wanted);
  }
}, 240_000);

async function disaggregated(list: readonly Request[], grammarsOf: () => Grammars): Promise<Book> {
  const context = open({ role: 'context', slots: 4, grammars: grammarsOf() });
  const generate = open({ role: 'generate', slots: 8, grammars: grammarsOf() });
  const byId = new Map(list.map((request) => [request.requestId, request]));
  const book = new Book();
  for (const request of list) {
    generate.engine.submit({ type: 'generate', source: 'handover', ...request });
  }
  await untilIdle(generate, () => {
    for (const worker of [generate, context]) worker.engine.step();
    const fromContext = context.take();
    const fromGenerate = generate.take();
    book.hear([...fromContext, ...fromGenerate]);
    for (const event of fromGenerate) {
      const request = event.type === 'admitted' ? byId.get(event.requestId) : undefined;
      if (request !== undefined) {
        context.engine.submit({ type: 'prefill', kvPath: 'shm', ...request });
      }
    }
    for (const event of fromContext) {
      if (event.type === 'tokens' && event.finish !== null) {
        generate.engine.submit({ type: 'abort', requestId: event.requestId });
      } else if (event.type === 'prefilled') {
        const { requestId, firstToken, ticket } = event;
        generate.engine.submit({ type: 'import', requestId, firstToken, ticket });
        context.engine.submit({ type: 'release', requestId });
      }
    }
  });
  return book;
}
