// Child processes of one supervisor: each is started again, with growing pauses, when it dies without
// having been asked to, until it has died too often; all are stopped in groups. What a child writes to
// stderr goes on to ours, and its last lines are kept for the words about its death.

import { restartBounds } from '../protocol/limit.ts';
import { type Clock, withDeadline } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import { givenUpAfter, type RestartBounds, Restarts } from '../std/restarts.ts';
import { Tail } from '../std/tail.ts';
import type { Log } from '../telemetry/log.ts';

export type ChildSpec = {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
};

/** A child that gives up by itself within this time cannot work as it was started. */
const startMs = 10_000;
/** Beyond a child's own drain time, before it is killed. */
const graceMs = 5000;
/** For what a dead child has said to arrive. */
const lastWordsMs = 1000;

type Ports = {
  readonly clock: Clock;
  readonly log: Log;
  /** Default: those of protocol/limit.ts. */
  readonly bounds?: RestartBounds;
  /** Where the children's stderr goes; default: ours. */
  readonly stderr?: (bytes: Uint8Array) => void;
};

export class Children {
  readonly #ports: Required<Ports>;
  readonly #children: Child[] = [];

  constructor(ports: Ports) {
    const stderr = (bytes: Uint8Array): void => void process.stderr.write(bytes);
    this.#ports = { bounds: restartBounds, stderr, ...ports };
  }

  start(spec: ChildSpec): void {
    this.#children.push(new Child(spec, this.#ports));
  }

  /** From now on a child that dies is always started again, whatever its exit code. */
  settle(): void {
    for (const child of this.#children) child.settled = true;
  }

  /**
   * Resolves with one line about the first child that is not started again: it ended by its own word
   * before it ever ran well (a wrong model folder will not get better), or it has died too often.
   */
  firstFailure(): Promise<string> {
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
  readonly #ports: Required<Ports>;
  readonly #restarts: Restarts;
  readonly #failed = Promise.withResolvers<string>();
  #process: Bun.Subprocess<'ignore', 'inherit', 'pipe'>;
  #isSilent: Promise<void> = Promise.resolve();
  #stopping = false;
  #cancelRestart: (() => void) | null = null;

  constructor(spec: ChildSpec, ports: Required<Ports>) {
    this.name = spec.name;
    this.#spec = spec;
    this.#ports = ports;
    this.#restarts = new Restarts(ports.clock, ports.bounds);
    this.#process = this.#spawn();
  }

  get failed(): Promise<string> {
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
    await this.#silence();
  }

  #spawn(): Bun.Subprocess<'ignore', 'inherit', 'pipe'> {
    const { clock } = this.#ports;
    const startedMs = clock.nowMs();
    const child = Bun.spawn([...this.#spec.command], {
      stdin: 'ignore',
      stdout: 'inherit',
      stderr: 'pipe',
      env: { ...this.#spec.env },
      // Out of the terminal's group from its first moment: Ctrl-C is for the supervisor alone.
      detached: true,
    });
    const tail = new Tail();
    this.#isSilent = this.#forward(child.stderr, tail);
    child.exited.then((code) => this.#onExit(code, clock.nowMs() - startedMs, tail));
    return child;
  }

  async #forward(stream: ReadableStream<Uint8Array>, tail: Tail): Promise<void> {
    for await (const bytes of stream) {
      tail.add(bytes);
      this.#ports.stderr(bytes);
    }
  }

  /** All that the dead child has said is here; not waited for long: a child of its own may hold the pipe. */
  async #silence(): Promise<void> {
    const late = (): Fault => new Fault('timeout', 'its stderr stays open');
    await withDeadline(this.#ports.clock, lastWordsMs, this.#isSilent, late).catch((fault: Error) =>
      this.#ports.log.debug(`${this.name}: ${fault.message}`),
    );
  }

  #onExit(code: number, livedMs: number, tail: Tail): void {
    if (this.#stopping) return;
    const { clock, log } = this.#ports;
    // Exit codes 1 and 2 are the program's own word that it cannot work like this.
    if (!this.settled && livedMs < startMs && (code === 1 || code === 2)) {
      this.#failed.resolve(`${this.name} cannot start; see its line above`);
      return;
    }
    this.settled ||= livedMs >= startMs;
    const how = this.#process.signalCode ?? `exit code ${code}`;
    // One that ran and was asked to end by somebody else (a drained worker, by hand) has not failed.
    const isAsked = code === 0 && livedMs >= startMs;
    const verdict = isAsked
      ? ({ type: 'again', pauseMs: this.#ports.bounds.pauseFirstMs } as const)
      : this.#restarts.ended(livedMs);
    if (verdict.type === 'give-up') {
      void this.#giveUp(`${givenUpAfter(verdict)}, the last time with ${how}`, tail);
      return;
    }
    const { pauseMs } = verdict;
    if (isAsked) log.info(`${this.name} ended, starting another in its place`, { pauseMs });
    else log.warn(`${this.name} died, starting it again`, { how, pauseMs });
    const timer = clock.after(pauseMs, () => {
      this.#process = this.#spawn();
    });
    this.#cancelRestart = () => timer.cancel();
  }

  async #giveUp(what: string, tail: Tail): Promise<void> {
    await this.#silence();
    const words = tail.text();
    const said = words === '' ? 'it said nothing on stderr' : `its last words: ${words}`;
    const mend = `mend what its lines name, or start it alone to see more: --role ${this.name.replace(/-\d+$/, '')} --log-level 2`;
    this.#failed.resolve(`${this.name} ${what}; ${said}; giving up: ${mend}`);
  }
}
