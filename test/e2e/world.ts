// A place of its own for one test file: home, cache and temporary folder, an environment without our
// flags' twins, and the executable as it was at the start (others may build it anew meanwhile). At its
// end nothing may be left of what was started in it: no process, no arena, no store.

import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { copyFileSync, linkSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { arenasOf, markedProcesses, markName, storesIn } from './leftover.ts';
import { type Exit, Program } from './program.ts';
import { until } from './until.ts';

const testTimeoutMs = 180_000;

export type StartOptions = { readonly env?: Readonly<Record<string, string>> };

export class World {
  readonly folder = mkdtempSync(join(tmpdir(), 'e2e-'));
  readonly executable = join(this.folder, 'tdist');
  readonly #temporary = this.path('tmp');
  readonly #programs: Program[] = [];

  constructor() {
    for (const name of ['home', 'cache', 'tmp']) mkdirSync(this.path(name));
    const built = resolve(import.meta.dir, '../../tdist');
    try {
      linkSync(built, this.executable);
    } catch {
      copyFileSync(built, this.executable); // another file system
    }
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  get mark(): string {
    return basename(this.folder);
  }

  get env(): Record<string, string> {
    return {
      PATH: '/usr/bin:/bin',
      HOME: this.path('home'),
      TMPDIR: this.#temporary,
      XDG_CACHE_HOME: this.path('cache'),
      [markName]: this.mark,
    };
  }

  start(args: readonly string[], options: StartOptions = {}): Program {
    return this.spawn([this.executable, ...args], { ...this.env, ...options.env });
  }

  /** Any command, with exactly this environment. */
  spawn(
    command: readonly string[],
    env: Record<string, string>,
    cwd: string = this.folder,
  ): Program {
    const program = new Program(command, { env, cwd });
    this.#programs.push(program);
    return program;
  }

  /** Starts it and waits for its end. */
  async run(args: readonly string[], options: StartOptions = {}): Promise<Exit> {
    await using program = this.start(args, options);
    return await program.exit();
  }

  /** Arenas that workers of this world have in /dev/shm now. */
  arenas(): string[] {
    const lines = this.#programs.flatMap((program) => program.lines());
    return arenasOf(
      lines.flatMap((line) => /Worker started\.\.\. worker=(\S+)/.exec(line)?.[1] ?? []),
    );
  }

  processes(): ReturnType<typeof markedProcesses> {
    return markedProcesses(this.mark);
  }

  leftovers(): string[] {
    return [...this.#running(), ...this.arenas(), ...storesIn(this.#temporary)];
  }

  /** Resolves when nobody and nothing is left; else names it. */
  async nothingLeft(): Promise<void> {
    await empty(() => this.leftovers());
  }

  /** The same without folders: those of a killed nats-server are swept at the next start. */
  async nothingRuns(): Promise<void> {
    await empty(() => [...this.#running(), ...this.arenas()]);
  }

  /** The same with arenas left out, too. */
  async nobodyRuns(): Promise<void> {
    await empty(() => this.#running());
  }

  #running(): string[] {
    return this.processes().map(({ pid, command }) => `process ${pid}: ${command}`);
  }

  /** Stops what still runs, the youngest first: the request plane mostly is the oldest. */
  async stopAll(): Promise<void> {
    for (const program of [...this.#programs].reverse()) await program[Symbol.asyncDispose]();
  }

  async end(): Promise<void> {
    await this.stopAll();
    for (const { pid } of this.processes()) process.kill(pid, 'SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function empty(list: () => string[]): Promise<void> {
  const none = until('an empty list', () => list().length === 0);
  await none.catch(() => expect(list()).toEqual([]));
}

/** The world of the file that calls it. Also sets the file's time-out. */
export function openWorld(): World {
  setDefaultTimeout(testTimeoutMs);
  const world = new World();
  afterAll(() => world.end(), testTimeoutMs);
  return world;
}

/** To be called last in a file. */
export function testNothingLeft(world: World): void {
  test('afterwards nothing is left: no process, no arena, no store', async () => {
    await world.stopAll();
    await world.nothingLeft();
  });
}
