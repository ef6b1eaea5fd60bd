// The deployment that is disturbed: nats-server, gateways and workers as processes of their own, each of
// which may be ended and started again. Started from this very program, as users start theirs.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { selfCommand } from '../../plane/guard.ts';
import { freePort } from '../../role/free-port.ts';
import { supervisedEnv } from '../../role/parent.ts';
import { Fault } from '../../std/fault.ts';
import { Member } from './member.ts';
import { KillablePlane } from './plane.ts';
import { readWorkers } from './worker-list.ts';

export const markName = 'TDIST_BENCH_MARK';
const stopMs = 45_000;
const readyMs = 60_000;
const askEveryMs = 50;
const memoryShare = 0.1;

export type WorkerPlace = {
  readonly role: 'context' | 'generate';
  readonly flags: readonly string[];
  member: Member;
  /** As `GET /workers` calls the one that runs there now. */
  id: string;
};

export type GatewayPlace = {
  readonly url: string;
  readonly flags: readonly string[];
  member: Member;
  /** Listens, as far as we have not ended it. */
  isUp: boolean;
};

export type Place = WorkerPlace | GatewayPlace;

export type StageOptions = {
  readonly logDir: string | null;
  /** How long NATS keeps KV. */
  readonly objectTtlS: number;
  /** More flags for all workers. */
  readonly workerFlags?: readonly string[];
  /** More environment for all processes. */
  readonly env?: Readonly<Record<string, string>>;
};

export class Stage implements AsyncDisposable {
  readonly plane: KillablePlane;
  readonly workers: WorkerPlace[] = [];
  readonly gateways: GatewayPlace[] = [];
  /** In the environment of every process of this stage. */
  readonly mark: string;
  /** Of all workers that ever ran here. */
  readonly workerIds = new Set<string>();
  readonly #folder: string;
  readonly #options: StageOptions;
  readonly #env: Readonly<Record<string, string>>;

  /** Two of each; the KV of one context worker travels through the object store. */
  static async open(options: StageOptions): Promise<Stage> {
    const folder = mkdtempSync(join(tmpdir(), 'tdist-bench-'));
    const env = { ...stageEnv(basename(folder)), ...options.env };
    const plane = await KillablePlane.start({ folder, env, logDir: options.logDir });
    const stage = new Stage({ ...options, folder, env, plane });
    try {
      for (const flags of [['--kv-path=auto'], ['--kv-path=object']]) {
        await stage.#addWorker('context', flags);
        await stage.#addWorker('generate', []);
      }
      // One whose prompts all go to a context worker, one that decides by what it has measured.
      await stage.#addGateway(['--local-prefill-tokens=0']);
      await stage.#addGateway([]);
      await stage.untilReady();
      return stage;
    } catch (thrown) {
      await stage[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  private constructor(
    options: StageOptions & {
      readonly folder: string;
      readonly env: Readonly<Record<string, string>>;
      readonly plane: KillablePlane;
    },
  ) {
    this.#options = options;
    this.#folder = options.folder;
    this.#env = options.env;
    this.mark = basename(options.folder);
    this.plane = options.plane;
  }

  /** All that should run now. */
  members(): readonly Member[] {
    return [this.plane, ...this.workers, ...this.gateways].map(({ member }) => member);
  }

  /** Another process where that one was. */
  async replace(place: Place): Promise<void> {
    if ('url' in place) {
      place.isUp = false;
      place.member = this.#startGateway(place.url, place.flags);
      await place.member.ready;
      place.isUp = true;
      return;
    }
    place.member = this.#startWorker(place.role, place.flags);
    place.id = await place.member.ready;
    this.workerIds.add(place.id);
  }

  /** Until every gateway sees exactly the workers that run, all ready. */
  async untilReady(): Promise<void> {
    const wanted = this.workers.map(({ id }) => `${id} ready`).sort();
    const endMs = performance.now() + readyMs;
    for (const { url } of this.gateways) {
      for (;;) {
        const seen = await readWorkers(url).then(
          (list) => list.map(({ id, state }) => `${id} ${state}`).sort(),
          () => ['no answer'],
        );
        if (seen.join() === wanted.join()) break;
        if (performance.now() > endMs) {
          const text = `${url}/workers says ${seen.join()} after ${readyMs} ms`;
          throw new Fault('internal', `${text}, wanted ${wanted.join()}`);
        }
        await Bun.sleep(askEveryMs);
      }
    }
  }

  /** In order: gateways, workers. The plane stays, for whoever wants to see what is left in it. */
  async stopServing(): Promise<readonly string[]> {
    const flaws: string[] = [];
    for (const place of [...this.gateways, ...this.workers]) {
      if (!place.member.isRunning) continue;
      const code = await place.member.stop(stopMs);
      if (code !== 0) flaws.push(`${place.member.name} ended with exit code ${code}`);
    }
    return flaws;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const member of this.members().toReversed()) {
      if (member.isRunning) await member.stop(stopMs).catch(() => member.kill());
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #addWorker(role: WorkerPlace['role'], flags: readonly string[]): Promise<void> {
    const member = this.#startWorker(role, flags);
    const place: WorkerPlace = { role, flags, member, id: '' };
    this.workers.push(place);
    place.id = await member.ready;
    this.workerIds.add(place.id);
  }

  #startWorker(role: WorkerPlace['role'], flags: readonly string[]): Member {
    const own = [
      `--kv-object-ttl=${this.#options.objectTtlS}`,
      `--gpu-memory-utilization=${memoryShare}`,
      '--threads=1',
      ...(this.#options.workerFlags ?? []),
    ];
    return this.#start(role, [...own, ...flags], /Worker started\.\.\. worker=(\S+)/);
  }

  async #addGateway(flags: readonly string[]): Promise<void> {
    const url = `http://127.0.0.1:${await freePort('127.0.0.1')}`;
    const member = this.#startGateway(url, flags);
    const place: GatewayPlace = { url, flags, member, isUp: false };
    this.gateways.push(place);
    await member.ready;
    place.isUp = true;
  }

  #startGateway(url: string, flags: readonly string[]): Member {
    const port = `--api-server-port=${new URL(url).port}`;
    return this.#start('api', [port, ...flags], /Listening on (\S+)/);
  }

  #start(role: string, flags: readonly string[], sign: RegExp): Member {
    const plane = `--request-plane-uri=${this.plane.uri}`;
    return new Member({
      name: role,
      command: [...selfCommand(), `--role=${role}`, plane, ...flags],
      env: this.#env,
      sign,
      logDir: this.#options.logDir,
    });
  }
}

/** Ours without the twins of our flags: the deployment is the same wherever it is measured. */
function stageEnv(mark: string): Readonly<Record<string, string>> {
  const kept = Object.entries(process.env).flatMap(([name, value]) =>
    value === undefined || (name.startsWith('TDIST_') && name !== 'TDIST_NATS_SERVER')
      ? []
      : [[name, value] as const],
  );
  return supervisedEnv({ ...Object.fromEntries(kept), [markName]: mark });
}
