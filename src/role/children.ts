// Child processes of one supervisor: each is started again, with growing pauses, when it dies without
// having been asked to; all are stopped in groups.

import { type Clock, withDeadline } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';

export type ChildSpec = {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
};

const backoffFirstMs = 200;
const backoffMaxMs = 10_000;
/** A child that lived so long starts its pauses anew. */
const healthyMs = 30_000;
/** A child that gives up by itself within this time cannot work as it was started. */
const startMs = 10_000;
/** Beyond a child's own drain time, before it is killed. */
const graceMs = 5000;

export class Children {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #children: Child[] = [];

  constructor(options: { clock: Clock; log: Log }) {
    this.#clock = options.clock;
    this.#log = options.log;
  }

  start(spec: ChildSpec): void {
    this.#children.push(new Child(spec, { clock: this.#clock, log: this.#log }));
  }

  /** From now on a child that dies is always started again, whatever its exit code. */
  settle(): void {
    for (const child of this.#children) child.settled = true;
  }

  /**
   * Resolves with the name of a child that ended by itself before it ever ran well, with its exit
   * code: a wrong model folder will not get better by trying again.
   */
  firstFailure(): Promise<{ name: string; code: number }> {
    return Promise.race(this.#children.map((child) => child.failed));
  }

  /** Asks the children whose name `matches` to end and waits for them, at most `limitMs` each. */
  async stop(matches: (name: string) => boolean, limitMs: number): Promise<void> {
    const chosen = this.#children.filter((child) => matches(child.name));
    await Promise.all(chosen.map((child) => child.stop(limitMs + graceMs)));
  }
}

class Child {
  readonly name: string;
  readonly #spec: ChildSpec;
  settled = false;
  readonly #ports: { clock: Clock; log: Log };
  readonly #failed = Promise.withResolvers<{ name: string; code: number }>();
  #process: Bun.Subprocess;
  #stopping = false;
  #restartCount = 0;
  #cancelRestart: (() => void) | null = null;

  constructor(spec: ChildSpec, ports: { clock: Clock; log: Log }) {
    this.name = spec.name;
    this.#spec = spec;
    this.#ports = ports;
    this.#process = this.#spawn();
  }

  get failed(): Promise<{ name: string; code: number }> {
    return this.#failed.promise;
  }

  async stop(limitMs: number): Promise<void> {
    const { clock, log } = this.#ports;
    this.#stopping = true;
    this.#cancelRestart?.();
    const child = this.#process;
    child.kill('SIGTERM');
    const late = (): Fault => new Fault('timeout', `${this.name} did not end within ${limitMs} ms`);
    await withDeadline(clock, limitMs, child.exited, late).catch(async (fault: Error) => {
      log.warn(`${fault.message}; killing it`);
      child.kill('SIGKILL');
      await child.exited;
    });
  }

  #spawn(): Bun.Subprocess {
    const { clock } = this.#ports;
    const startedMs = clock.nowMs();
    const child = Bun.spawn([...this.#spec.command], {
      stdin: 'ignore',
      stdout: 'inherit',
      stderr: 'inherit',
      env: { ...this.#spec.env },
    });
    child.exited.then((code) => this.#onExit(code, clock.nowMs() - startedMs));
    return child;
  }

  #onExit(code: number, livedMs: number): void {
    if (this.#stopping) return;
    const { clock, log } = this.#ports;
    // Exit codes 1 and 2 are the program's own word that it cannot work like this.
    if (!this.settled && livedMs < startMs && (code === 1 || code === 2)) {
      this.#failed.resolve({ name: this.name, code });
      return;
    }
    this.settled ||= livedMs >= startMs;
    if (livedMs > healthyMs) this.#restartCount = 0;
    const pauseMs = Math.min(backoffMaxMs, backoffFirstMs * 2 ** this.#restartCount++);
    const how = this.#process.signalCode ?? `exit code ${code}`;
    log.warn(`${this.name} died, starting it again`, { how, pauseMs });
    const timer = clock.after(pauseMs, () => {
      this.#process = this.#spawn();
    });
    this.#cancelRestart = () => timer.cancel();
  }
}
