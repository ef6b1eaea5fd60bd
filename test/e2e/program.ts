// One process of ./tdist: its lines as they come, its end, and its death when the test is over.

import { realClock, withDeadline } from '../../src/std/clock.ts';
import { deadlineMs } from './until.ts';

export type Exit = {
  readonly code: number;
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
};

type Line = { readonly from: 'stdout' | 'stderr'; readonly text: string };

export class Program implements AsyncDisposable {
  readonly pid: number;
  readonly #child: Bun.Subprocess<'ignore', 'pipe', 'pipe'>;
  readonly #name: string;
  readonly #lines: Line[] = [];
  readonly #listeners = new Set<() => void>();
  /** All who hold our pipes (children, too) have let go of them. */
  readonly #silent: Promise<unknown>;

  constructor(command: readonly string[], options: { env: Record<string, string>; cwd: string }) {
    this.#name = command.slice(1).join(' ');
    this.#child = Bun.spawn([...command], {
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      ...options,
    });
    this.pid = this.#child.pid;
    this.#silent = Promise.all([
      this.#collect('stdout', this.#child.stdout),
      this.#collect('stderr', this.#child.stderr),
    ]);
    this.#child.exited.then(() => this.#tell());
  }

  lines(): readonly string[] {
    return this.#lines.map((line) => line.text);
  }

  /**
   * The first line that contains `wanted` (or matches it) from line number `from` on. Rejects when
   * the process ends without it.
   */
  async line(wanted: string | RegExp, from = 0): Promise<string> {
    const fits = (text: string): boolean =>
      typeof wanted === 'string' ? text.includes(wanted) : wanted.test(text);
    const found = Promise.withResolvers<string>();
    const look = (): void => {
      const line = this.lines().slice(from).find(fits);
      if (line !== undefined) found.resolve(line);
      else if (this.#hasEnded()) found.reject(this.#error(`ended without a line ${wanted}`));
    };
    this.#listeners.add(look);
    look();
    try {
      const late = (): Error => this.#error(`no line ${wanted} within ${deadlineMs} ms`);
      return await withDeadline(realClock, deadlineMs, found.promise, late);
    } finally {
      this.#listeners.delete(look);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits for the end, and for the last of its lines. A signal's death counts as 128 + number. */
  async exit(): Promise<Exit> {
    const late = (): Error => this.#error(`still running after ${deadlineMs} ms`);
    const ended = Promise.all([this.#child.exited, this.#silent]);
    const [code] = await withDeadline(realClock, deadlineMs, ended, late);
    const of = (from: Line['from']): string[] =>
      this.#lines.filter((line) => line.from === from).map((line) => line.text);
    return { code, stdout: of('stdout'), stderr: of('stderr') };
  }

  async stop(): Promise<Exit> {
    this.signal('SIGTERM');
    return await this.exit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#hasEnded()) return;
    this.signal('SIGTERM');
    const late = (): Error => this.#error('did not end on SIGTERM');
    await withDeadline(realClock, deadlineMs, this.#child.exited, late).catch(() =>
      this.signal('SIGKILL'),
    );
    await this.#child.exited;
  }

  #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async #collect(from: Line['from'], stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    for await (const part of stream) {
      const texts = (rest + decoder.decode(part, { stream: true })).split('\n');
      rest = texts.pop() ?? '';
      this.#lines.push(...texts.map((text) => ({ from, text })));
      if (texts.length > 0) this.#tell();
    }
    if (rest !== '') this.#lines.push({ from, text: rest });
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #error(what: string): Error {
    const last = this.lines().slice(-30).join('\n  ');
    return new Error(`tdist ${this.#name}: ${what}; its last lines:\n  ${last}`);
  }
}
