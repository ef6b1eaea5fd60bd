// A hub of our own, a cache of our own, and a pull between them.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Disk, realDisk } from '../../src/hub/disk.ts';
import { type LocateOptions, locate } from '../../src/hub/locate.ts';
import { parseRepo, type Repo } from '../../src/hub/name.ts';
import { noProgress, type Progress } from '../../src/hub/progress.ts';
import { type PullOptions, pull } from '../../src/hub/pull.ts';
import type { Part } from '../../src/hub/selection.ts';
import type { HubSettings } from '../../src/hub/settings.ts';
import { limit } from '../../src/protocol/limit.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { Fault } from '../../src/std/fault.ts';
import { FakeHub } from './fake-hub.ts';

export type PullChanges = {
  readonly token?: string | null;
  readonly offline?: boolean;
  readonly disk?: Partial<Disk>;
  readonly part?: Part;
  readonly signal?: AbortSignal;
  readonly endpoint?: string;
  readonly cacheDir?: string;
};

export class HubWorld implements AsyncDisposable {
  readonly hub: FakeHub;
  /** Moves when something waits for it: a pause that is told of, a hub that says nothing more. */
  readonly clock = new ManualClock();
  readonly folder = mkdtempSync(join(tmpdir(), 'hub-'));
  readonly notes: string[] = [];
  readonly warnings: string[] = [];
  /** What was shown to begin. */
  readonly begun: string[] = [];

  private constructor(hub: FakeHub) {
    this.hub = hub;
    hub.onSilent = () => this.clock.advance(limit.hubSilenceMs);
    hub.hasTaken = (file, bytes) => this.#taken(file, bytes);
  }

  static async open(): Promise<HubWorld> {
    return new HubWorld(await FakeHub.start());
  }

  get cacheDir(): string {
    return join(this.folder, 'hub');
  }

  path(...names: readonly string[]): string {
    return join(this.cacheDir, 'models--org--tiny', ...names);
  }

  settings({ token = null, offline = false, ...changes }: PullChanges): HubSettings {
    const { endpoint = this.hub.endpoint, cacheDir = this.cacheDir } = changes;
    return { endpoint, cacheDir, token, offline };
  }

  async pull(name = 'org/tiny', changes: PullChanges = {}) {
    return await pull(repoOf(name), { ...this.#options(changes), limitMs: limit.hubAnswerMs });
  }

  async locate(name = 'org/tiny', changes: PullChanges = {}) {
    return await locate(repoOf(name), this.#options(changes));
  }

  #note(line: string): void {
    this.notes.push(line);
    const [, seconds] = / going on in ([\d.]+) s$/.exec(line) ?? [];
    // The pause begins right after it was told of.
    if (seconds !== undefined) queueMicrotask(() => this.clock.advance(Number(seconds) * 1000));
  }

  readonly #have = new Map<string, number>();
  readonly #waiting = new Set<() => void>();

  async #taken(file: string, bytes: number): Promise<void> {
    while ((this.#have.get(file) ?? 0) < bytes) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  #at(name: string, bytes: number): void {
    this.#have.set(name, bytes);
    for (const look of this.#waiting) look();
    this.#waiting.clear();
  }

  #options(changes: PullChanges): Omit<PullOptions, 'limitMs'> & LocateOptions {
    const progress: Progress = {
      ...noProgress,
      begin: (title) => this.begun.push(title),
      at: (name, bytes) => this.#at(name, bytes),
      note: (line) => this.#note(line),
    };
    return {
      settings: this.settings(changes),
      part: changes.part ?? 'model',
      clock: this.clock,
      disk: { ...realDisk, ...changes.disk },
      progress,
      signal: changes.signal ?? new AbortController().signal,
      warn: (line) => this.warnings.push(line),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hub.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function repoOf(name: string): Repo {
  const repo = parseRepo(name);
  if (repo === null) throw new Error(`no repository: ${name}`);
  return repo;
}

/** The Fault that `work` ends with. */
export async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const thrown: unknown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  if (thrown instanceof Fault) return thrown;
  throw new Error(`no Fault: ${String(thrown)}`);
}

/** Bytes that compress badly and differ from place to place. */
export function noise(count: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(count);
  let state = seed;
  for (let at = 0; at < count; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
}

export const weightBytes = 300_000;

/** What a repository has: what we want of it, and what we do not. */
export function tinyFiles(changes: Readonly<Record<string, string | Uint8Array>> = {}) {
  return {
    'README.md': '# tiny',
    'config.json': '{"model_type": "llama"}',
    'generation_config.json': '{}',
    'tokenizer.json': '{"model": {}}',
    'tokenizer_config.json': '{"x": 1}',
    'special_tokens_map.json': '{"bos": 1}',
    'chat_template.jinja': '{{ messages }}',
    'model.safetensors': noise(weightBytes),
    'pytorch_model.bin': noise(1000),
    'model.Q4.gguf': noise(1000),
    ...changes,
  };
}

export const wantedNames = [
  'chat_template.jinja',
  'config.json',
  'generation_config.json',
  'model.safetensors',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer_config.json',
];
