// The cache on disk as all tools of Hugging Face lay it out, so that they share it:
//
//   models--ORG--REPO/
//     refs/main                            40 hex digits: the commit
//     blobs/ETAG                           a file's bytes, under their hash
//     blobs/ETAG.incomplete                … those that have come so far
//     snapshots/COMMIT/config.json   →     ../../blobs/ETAG
//   .locks/models--ORG--REPO/ETAG.lock     held by whoever writes that blob
//
// Everything appears whole, by a rename. Refs come last: what they lead to is complete.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { indexFile } from '../model/folder.ts';
import { Fault } from '../std/fault.ts';
import type { HubFile } from './client.ts';
import { isCommit, type Repo } from './name.ts';
import { lacking, type Part } from './selection.ts';

export type Cached = {
  readonly commit: string;
  /** The snapshot: a model folder. */
  readonly folder: string;
  /** Files that are not there yet; empty: it can be used. */
  readonly missing: readonly string[];
};

export class RepoCache {
  readonly cacheDir: string;
  readonly #repo: Repo;
  readonly #folder: string;
  readonly #locks: string;

  constructor(cacheDir: string, repo: Repo) {
    const name = `models--${repo.id.replace('/', '--')}`;
    this.cacheDir = cacheDir;
    this.#repo = repo;
    this.#folder = join(cacheDir, name);
    this.#locks = join(cacheDir, '.locks', name);
  }

  blob({ etag }: HubFile): string {
    return join(this.#folder, 'blobs', etag);
  }

  lock({ etag }: HubFile): string {
    return join(this.#locks, `${etag}.lock`);
  }

  snapshot(commit: string): string {
    return join(this.#folder, 'snapshots', commit);
  }

  /** Bytes of the blob that are here: all, some of it, none. */
  haveBytes(file: HubFile): number {
    if (this.has(file)) return file.bytes;
    const found = statSync(`${this.blob(file)}.incomplete`, { throwIfNoEntry: false })?.size ?? 0;
    return found > file.bytes ? 0 : found;
  }

  has(file: HubFile): boolean {
    return statSync(this.blob(file), { throwIfNoEntry: false })?.size === file.bytes;
  }

  /** What the revision leads to, without asking anybody; null where the cache knows nothing of it. */
  lookUp(part: Part): Cached | null {
    const { revision } = this.#repo;
    const commit = isCommit(revision) ? revision : this.#ref();
    if (commit === null) return null;
    const folder = this.snapshot(commit);
    if (!existsSync(folder)) return null;
    // A link whose blob is gone is no file.
    const present = readdirSync(folder).filter((name) => existsSync(join(folder, name)));
    const index = present.includes(indexFile) ? readFileSync(join(folder, indexFile)) : null;
    return { commit, folder, missing: lacking(present, index, part) };
  }

  #ref(): string | null {
    try {
      const text = readFileSync(this.#refPath(), 'utf8').trim();
      return isCommit(text) ? text : null;
    } catch {
      return null;
    }
  }

  #refPath(): string {
    return join(this.#folder, 'refs', this.#repo.revision);
  }

  prepare(): void {
    this.#writing(() => {
      mkdirSync(join(this.#folder, 'blobs'), { recursive: true });
      mkdirSync(this.#locks, { recursive: true });
    });
  }

  /** Makes the snapshot of files whose blobs are all here, then has the revision lead to it. */
  publish(commit: string, files: readonly HubFile[], part: Part): string {
    const folder = this.snapshot(commit);
    this.#writing(() => {
      mkdirSync(folder, { recursive: true });
      for (const { name, etag } of files) link(join(folder, name), join('../../blobs', etag));
      if (isCommit(this.#repo.revision) || this.#ref() === commit) return;
      // A tokenizer alone leads nobody away from a whole model.
      if (part === 'text' && this.lookUp('model')?.missing.length === 0) return;
      mkdirSync(dirname(this.#refPath()), { recursive: true });
      const partial = `${this.#refPath()}.${process.pid}`;
      writeFileSync(partial, commit);
      renameSync(partial, this.#refPath());
    });
    return folder;
  }

  #writing(work: () => void): void {
    try {
      work();
    } catch (cause) {
      throw writeFault(this.cacheDir, cause);
    }
  }
}

function link(path: string, target: string): void {
  try {
    if (readlinkSync(path) === target) return;
  } catch {
    // nothing there, or a file of a tool that makes no links: ours takes its place
  }
  const partial = `${path}.${process.pid}`;
  rmSync(partial, { force: true });
  symlinkSync(target, partial);
  renameSync(partial, path);
}

/** Whatever the disk refused, with the mend. */
export function writeFault(folder: string, cause: unknown): Fault {
  if (cause instanceof Fault) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const text = `no space is left in ${folder}: what has come so far is kept`;
    return new Fault('config', `${text}; free some and run the same again, or set HF_HOME`, {
      reason: 'space',
      cause,
    });
  }
  return new Fault(
    'config',
    `${folder} cannot be written to (${code}); set HF_HOME to a folder you own`,
    {
      reason: 'write',
      cause,
    },
  );
}
