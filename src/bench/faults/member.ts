// One process of a deployment that is to be disturbed: started, waited for, signalled, and its end. What
// it prints is read for as long as it lives; a file gets it where one is named.

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { realClock, withDeadline } from '../../std/clock.ts';
import { Fault } from '../../std/fault.ts';

const readyMs = 60_000;
const tailCount = 20;

export type MemberOptions = {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** In the line that says that it runs; its first group is what `ready` resolves with. */
  readonly sign: RegExp;
  /** A folder for a file with its lines; null: they are thrown away. */
  readonly logDir: string | null;
};

export class Member {
  readonly name: string;
  readonly pid: number;
  /** Rejects when it ends, or says nothing of the kind for a minute. */
  readonly ready: Promise<string>;
  readonly exited: Promise<number>;
  readonly #child: Bun.Subprocess<'ignore', 'pipe', 'pipe'>;
  readonly #tail: string[] = [];
  readonly #log: number | null;
  #wasKilled = false;

  constructor({ name, command, env, sign, logDir }: MemberOptions) {
    this.name = name;
    this.#child = Bun.spawn([...command], {
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      env: { ...env },
    });
    this.pid = this.#child.pid;
    this.#log = logDir === null ? null : openSync(join(logDir, `${name}-${this.pid}.log`), 'a');
    const found = Promise.withResolvers<string>();
    const look = (line: string): void => {
      const match = sign.exec(line);
      if (match !== null) found.resolve(match[1] ?? '');
    };
    const read = Promise.all([
      this.#read(this.#child.stdout, look),
      this.#read(this.#child.stderr, look),
    ]);
    const ended = read.then(() => {
      if (this.#log !== null) closeSync(this.#log);
      found.reject(this.#fault('ended before it was ready'));
    });
    ended.catch((error: unknown) => found.reject(error));
    const late = (): Fault => this.#fault(`is not ready after ${readyMs} ms`);
    this.ready = withDeadline(realClock, readyMs, found.promise, late);
    this.ready.catch(() => undefined); // whoever waits for it hears of it; nobody may
    this.exited = this.#child.exited;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** It was ended from here without being asked: whoever talked to it had to notice. */
  get wasKilled(): boolean {
    return this.#wasKilled;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    this.#wasKilled = true;
    this.signal('SIGKILL');
    await this.exited;
  }

  /** Asks it to end; its exit code, or a Fault when that takes longer than `limitMs`. */
  async stop(limitMs: number): Promise<number> {
    this.signal('SIGTERM');
    const late = (): Fault => this.#fault(`did not end within ${limitMs} ms of SIGTERM`);
    return await withDeadline(realClock, limitMs, this.exited, late);
  }

  /** Resident memory, bytes: its own, and what of arenas in shared memory it has touched. */
  residentBytes(): { readonly own: number; readonly shared: number } {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    const bytes = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? Number.NaN) * 1024;
    return { own: bytes('RssAnon') + bytes('RssFile'), shared: bytes('RssShmem') };
  }

  #fault(what: string): Fault {
    return new Fault('internal', `${this.name} ${what}; its last lines: ${this.#tail.join(' | ')}`);
  }

  async #read(stream: ReadableStream<Uint8Array>, look: (line: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    for await (const bytes of stream) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        this.#tail.push(line);
        if (this.#tail.length > tailCount) this.#tail.shift();
        if (this.#log !== null) writeSync(this.#log, `${line}\n`);
        look(line);
      }
    }
  }
}
