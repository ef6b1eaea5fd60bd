// Hand-over through the object store in a cluster: production client, workers and KV paths, fake engines.
// Whatever goes wrong with the KV, the generate worker's engine is told why, in time, and the answer comes.

import { afterEach, describe, expect, test } from 'bun:test';
import { flaw } from '../../src/plane/call-scope.ts';
import { MemoryObjectHub } from '../../src/plane/memory-object.ts';
import type { ObjectFlaw, ObjectStore } from '../../src/plane/object-store.ts';
import type { EngineCommand } from '../../src/protocol/engine.ts';
import { limit } from '../../src/protocol/limit.ts';
import { seededChance } from '../../src/std/prng.ts';
import { type EndOptions, pathsOf, Writer } from '../contract/kv-world.ts';
import { promptOf } from '../kv/pool-rows.ts';
import { Cluster, read, type TestWorker } from './cluster.ts';
import { settle } from './make.ts';

const writers: Writer[] = [];
const hubs: MemoryObjectHub[] = [];
afterEach(async () => {
  for (const hub of hubs.splice(0)) hub.isSilent = false; // or a worker's end waits for it
  for (const writer of writers.splice(0)) {
    expect(writer.own.store.counts()).toMatchObject({ held: 0, leased: 0 });
    await writer.close();
  }
});

type Import = Extract<EngineCommand, { type: 'import' }>;

/** A context and a generate worker on two hosts, and the store between them. */
class Hosts {
  readonly cluster = new Cluster();
  readonly hub: MemoryObjectHub;
  /** What the reader's next gets fail with. */
  readonly getFlaws: ObjectFlaw[] = [];
  /** What the engine says of the next blocks. */
  readonly placeFlaws: string[] = [];
  /** Called for a prefill's parts instead of computing on: a test holds it there. */
  between: () => void = () => undefined;
  readonly writer: Writer;
  readonly #computed = new Map<string, number>();
  readonly #prompts = new Map<string, number>();

  constructor(change: Partial<EndOptions> = {}) {
    const { clock } = this.cluster;
    this.hub = new MemoryObjectHub({ clock, chance: seededChance(2) });
    const openStore = (): ObjectStore => this.hub.open();
    this.#options = { path: 'object', clock, namespace: 'tdist', openStore, ...change };
    this.writer = new Writer(this.#options);
    hubs.push(this.hub);
    writers.push(this.writer);
  }

  readonly #options: EndOptions;

  async open(): Promise<{ c: TestWorker; g: TestWorker }> {
    const c = await this.cluster.worker('c', 'context', null, {
      kv: this.writer.paths,
      objects: () => true,
    });
    c.engine.script = (command) => this.#context(c, command);
    const held: { g: TestWorker | null } = { g: null };
    const reader = pathsOf(
      { ...this.#options, openStore: () => this.#flawed() },
      { workerId: 'g', role: 'generate' },
      (command) => held.g?.engine.submit(command),
    );
    const g = await this.cluster.worker('g', 'generate', [7, 8, 9], {
      kv: reader,
      objects: () => true,
      host: 'host-2',
    });
    held.g = g;
    g.engine.script = (command) => this.#generate(g, command);
    return { c, g };
  }

  ask(promptIds: readonly number[], signal = new AbortController().signal) {
    return this.cluster.ask(signal, { promptIds: [...promptIds] });
  }

  /** Computes the prompt in two parts; its first token is 7. */
  #context({ engine }: TestWorker, command: EngineCommand): boolean {
    const { requestId } = command;
    if (command.type === 'release' || command.type === 'abort') this.writer.loseArena(requestId);
    if (command.type !== 'prefill') return true;
    const { promptIds } = command;
    engine.emit({ type: 'admitted', requestId });
    const stage = (computed: number) => {
      const blocks = this.writer.stage(requestId, promptIds, computed);
      engine.emit({ type: 'staged', requestId, blocks });
    };
    stage(128);
    setImmediate(() => {
      this.between();
      engine.tokens(requestId, 0, [7]);
      stage(promptIds.length);
      const ticket = this.writer.ticket(requestId);
      engine.emit({ type: 'prefilled', requestId, firstToken: 7, ticket });
    });
    return false;
  }

  #generate({ engine }: TestWorker, command: EngineCommand): boolean {
    const { requestId } = command;
    if (command.type === 'generate') this.#prompts.set(requestId, command.promptIds.length);
    if (command.type === 'import' && command.refusal !== undefined) {
      // As the engine: the reason goes back, and the answer goes on.
      const { refusal } = command;
      engine.emit({ type: 'imported', requestId, path: 'object', refusal });
      engine.tokens(requestId, 1, [8]);
      engine.tokens(requestId, 2, [9], true);
      return false;
    }
    if (command.type !== 'block') return true;
    const computed = this.#computed.get(requestId) ?? 0;
    const reason = this.placeFlaws.shift();
    if (reason !== undefined) {
      const refusal = { v: 1, ok: false, code: 'transfer', message: 'bad', reason } as const;
      engine.emit({ type: 'placed', requestId, computed, refusal });
      return false;
    }
    const next = Math.min(computed + 64, this.#prompts.get(requestId) ?? 0);
    this.#computed.set(requestId, next);
    engine.emit({ type: 'placed', requestId, computed: next, refusal: null });
    return false;
  }

  #flawed(): ObjectStore {
    const store = this.hub.open();
    return {
      trouble: () => store.trouble(),
      close: () => store.close(),
      bucket: (options) => {
        const bucket = store.bucket(options);
        return {
          name: bucket.name,
          put: (name, bytes, call) => bucket.put(name, bytes, call),
          info: (name, call) => bucket.info(name, call),
          remove: (info, call) => bucket.remove(info, call),
          usedBytes: (call) => bucket.usedBytes(call),
          get: async (info, call) => {
            const reason = this.getFlaws.shift();
            if (reason !== undefined) throw flaw(reason, 'as the test wants it');
            return await bucket.get(info, call);
          },
        };
      },
    };
  }
}

function imports({ engine }: TestWorker): Import[] {
  return engine.commands.filter((command): command is Import => command.type === 'import');
}

async function expectLocal(
  hosts: Hosts,
  workers: { readonly c: TestWorker; readonly g: TestWorker },
  reason: string,
): Promise<void> {
  const generation = await hosts.ask(promptOf(200));
  const text = read(generation);
  const beganMs = hosts.cluster.clock.nowMs();
  let isOver = false;
  void text.finally(() => {
    isOver = true;
  });
  for (let i = 0; i < 400 && !isOver; i++) await hosts.cluster.pass(100);
  expect(await text).toBe('7 8 9 stop');
  const tookMs = hosts.cluster.clock.nowMs() - beganMs;
  expect(tookMs).toBeLessThan(Math.min(limit.streamSilenceMs, limit.objectTransferMs + 1000));
  expect(imports(workers.g)).toEqual([
    {
      type: 'import',
      requestId: 'req-1',
      firstToken: 7,
      ticket: null,
      refusal: expect.objectContaining({ ok: false, code: 'transfer', reason }),
    },
  ]);
  await settle();
  for (const worker of [workers.c, workers.g]) expect(worker.node.jobCount()).toBe(0);
}

describe('KV between hosts', () => {
  test('arrives: blocks first, then the ticket, and nothing stays', async () => {
    const hosts = new Hosts();
    const { c, g } = await hosts.open();
    expect(await read(await hosts.ask(promptOf(200)))).toBe('7 8 9 stop');
    expect(g.engine.types).toEqual(['generate', 'block', 'block', 'block', 'block', 'import']);
    const [only] = imports(g);
    expect(only?.ticket?.kind).toBe('object');
    expect(only?.ticket?.tokens).toBe(200);
    await settle();
    expect(c.engine.types).toEqual(['prefill', 'release']);
    for (const worker of [c, g]) expect(worker.node.jobCount()).toBe(0);
  });

  test('the store cannot be reached: before, and in the middle', async () => {
    const before = new Hosts();
    before.hub.trouble = 'nobody there';
    await expectLocal(before, await before.open(), 'unreachable');
    const middle = new Hosts();
    middle.between = () => {
      middle.hub.trouble = 'gone';
    };
    await expectLocal(middle, await middle.open(), 'unreachable');
  });

  test('the store never answers', async () => {
    const hosts = new Hosts();
    hosts.hub.isSilent = true;
    await expectLocal(hosts, await hosts.open(), 'timeout');
  });

  test('it falls silent in the middle', async () => {
    const hosts = new Hosts();
    hosts.between = () => {
      hosts.hub.isSilent = true;
    };
    await expectLocal(hosts, await hosts.open(), 'timeout');
  });

  test('the bucket is full of others’ blocks', async () => {
    const hosts = new Hosts({ bytesMax: 1000 });
    await expectLocal(hosts, await hosts.open(), 'full');
  });

  for (const reason of ['missing', 'truncated', 'corrupt', 'unreachable', 'timeout'] as const) {
    test(`a block cannot be got: ${reason}`, async () => {
      const hosts = new Hosts();
      hosts.getFlaws.push(reason);
      await expectLocal(hosts, await hosts.open(), reason);
    });
  }

  test('the engine refuses a block', async () => {
    const hosts = new Hosts();
    hosts.placeFlaws.push('digest');
    await expectLocal(hosts, await hosts.open(), 'digest');
  });

  test('what could not be read is sent anew with the next request', async () => {
    const hosts = new Hosts();
    const workers = await hosts.open();
    hosts.getFlaws.push('missing');
    await expectLocal(hosts, workers, 'missing');
    const nuids = async () => {
      const generation = await hosts.ask(promptOf(200));
      expect(await read(generation)).toBe('7 8 9 stop');
      const ticket = imports(workers.g).at(-1)?.ticket;
      if (ticket?.kind !== 'object') throw new Error('no KV came');
      return ticket.blocks.map((block) => block.nuid);
    };
    expect(hosts.writer.paths.send.object.savedBytes()).toBe(0);
    const anew = await nuids();
    expect(hosts.writer.paths.send.object.savedBytes()).toBe(0);
    expect(await nuids()).toEqual(anew);
    expect(hosts.writer.paths.send.object.savedBytes()).toBeGreaterThan(0);
  });

  test('the client leaves in the middle: both ends are free at once', async () => {
    const hosts = new Hosts();
    const { c, g } = await hosts.open();
    const leaving = new AbortController();
    hosts.between = () => {
      hosts.hub.isSilent = true;
    };
    const generation = await hosts.ask(promptOf(200), leaving.signal);
    const text = read(generation);
    await hosts.cluster.pass(300);
    leaving.abort();
    await settle();
    expect(await text).toBe('7 !cancelled');
    for (const worker of [c, g]) expect(worker.node.jobCount()).toBe(0);
    expect(imports(g)).toEqual([]);
    hosts.hub.isSilent = false;
    hosts.between = () => undefined;
    expect(await read(await hosts.ask(promptOf(200, 3)))).toBe('7 8 9 stop');
    expect(imports(g).at(-1)?.ticket?.kind).toBe('object');
  });

  test('the context worker dies with half of it sent: the rest is computed', async () => {
    const hosts = new Hosts();
    const { c, g } = await hosts.open();
    hosts.between = () => {
      hosts.hub.isSilent = true;
    };
    const text = read(await hosts.ask(promptOf(200)));
    await settle();
    c.kill();
    await hosts.cluster.pass(4000);
    expect(await text).toBe('7 8 9 stop');
    expect(imports(g)).toEqual([
      { type: 'import', requestId: 'req-1', firstToken: 7, ticket: null },
    ]);
    c.engine.emit({ type: 'refused', requestId: 'req-1', code: 'internal', message: 'dead' });
    hosts.writer.loseArena('req-1');
  });
});
