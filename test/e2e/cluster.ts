// Gateways and workers as processes of their own, on a nats-server that is the test's: any of them can be
// killed, stopped and started anew by itself. A spy on the plane says how far a request has come.

import { mkdirSync } from 'node:fs';
import { connect } from 'nats';
import { fetchWorkers, type WorkerEntry } from '../../src/cli/workers-api.ts';
import type { WorkerRole } from '../../src/protocol/message.ts';
import { freePort } from '../../src/role/free-port.ts';
import { type NatsProcess, startNatsProcess } from '../plane/nats-process.ts';
import { type Deployment, startApi } from './deployment.ts';
import type { Program } from './program.ts';
import { until } from './until.ts';
import type { World } from './world.ts';

let count = 0;

export class Cluster implements AsyncDisposable {
  readonly #world: World;
  readonly #folder: string;
  readonly #port: number;
  readonly #programs: Program[] = [];
  #server: NatsProcess;
  #storeCount = 0;

  private constructor(world: World, folder: string, port: number, server: NatsProcess) {
    this.#world = world;
    this.#folder = folder;
    this.#port = port;
    this.#server = server;
  }

  static async open(world: World): Promise<Cluster> {
    const folder = world.path(`nats-${count++}`);
    mkdirSync(folder);
    const port = await freePort('127.0.0.1');
    const server = await startNatsProcess(folder, storeIn(folder, 0), port);
    return new Cluster(world, folder, port, server);
  }

  get plane(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get serverPid(): number {
    return this.#server.pid;
  }

  worker(role: WorkerRole, ...flags: readonly string[]): Program {
    const program = this.#world.start([
      `--role=${role}`,
      `--request-plane-uri=${this.plane}`,
      ...flags,
    ]);
    this.#programs.push(program);
    return program;
  }

  /** Prefills are the context workers' unless the flags say otherwise. */
  async gateway(...flags: readonly string[]): Promise<Deployment> {
    const api = await startApi(this.#world, this.plane, flags);
    this.#programs.push(api.program);
    return api;
  }

  async killServer(): Promise<void> {
    await this.#server.kill();
  }

  /** On the same port, with what the last one had stored or with nothing. */
  async startServer(store: 'kept' | 'empty'): Promise<void> {
    if (store === 'empty') this.#storeCount++;
    const config = storeIn(this.#folder, this.#storeCount);
    this.#server = await startNatsProcess(this.#folder, config, this.#port);
  }

  async spy(): Promise<Spy> {
    return await Spy.open(this.plane);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ends = this.#programs.map((program) => program[Symbol.asyncDispose]());
    await Promise.all(ends);
    await this.#server.kill();
  }
}

function storeIn(folder: string, number: number): string {
  return `jetstream { store_dir: "${folder}/store-${number}" }`;
}

type Asked = { readonly op: string; readonly requestId: string; readonly promptTokens: number };

/** Sees what is asked of workers. */
export class Spy implements AsyncDisposable {
  readonly asked: Asked[] = [];
  readonly #close: () => Promise<void>;

  private constructor(close: () => Promise<void>) {
    this.#close = close;
  }

  static async open(plane: string): Promise<Spy> {
    const connection = await connect({ servers: plane });
    const spy = new Spy(() => connection.close());
    connection.subscribe('tdist.worker.*.*', {
      callback: (_error, message) => {
        const op = message.subject.split('.').at(-1) ?? '';
        if (op === 'asset') return;
        const { requestId = '', promptIds = [] } = message.json<{
          requestId?: string;
          promptIds?: readonly number[];
        }>();
        spy.asked.push({ op, requestId, promptTokens: promptIds.length });
      },
    });
    await connection.flush();
    return spy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** Until the gateway knows exactly so many workers and all take requests. */
export async function untilWorkers(url: string, wanted: number): Promise<readonly WorkerEntry[]> {
  return await until(`${wanted} workers that are ready`, async () => {
    const workers = await fetchWorkers(url);
    return workers.length === wanted && workers.every(({ state }) => state === 'ready') && workers;
  });
}

/** Until nobody has a request, a sequence, a held or a leased block. */
export async function untilIdle(url: string): Promise<void> {
  let last: readonly WorkerEntry[] = [];
  const idle = until('workers that hold nothing', async () => {
    last = await fetchWorkers(url);
    return last.length > 0 && last.every(holdsNothing);
  });
  await idle.catch((error: unknown) => {
    throw new Error(`${error}: ${JSON.stringify(last.map(({ id, load, kv }) => [id, load, kv]))}`);
  });
}

export function holdsNothing({ load, kv }: WorkerEntry): boolean {
  const { held, leased } = kv.blocks ?? { held: 0, leased: 0 };
  return [load.jobs ?? 0, load.running, load.waiting, held, leased].every((number) => number === 0);
}
