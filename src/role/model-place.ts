// From what a user calls a model to the folder it is read from: a folder, the built-in one, or a repository
// of the hub, which is in the cache or is downloaded now. The library of the hub is loaded only then.

import { existsSync } from 'node:fs';
import type { RoleIo } from '../cli/role-io.ts';
import { parseRepo, type Repo, repoText } from '../hub/name.ts';
import type { Part } from '../hub/selection.ts';
import { demoName } from '../model/demo.ts';
import { realClock } from '../std/clock.ts';

export type ModelPlace = {
  /** What openModel reads. */
  readonly folder: string;
  /** How the model calls itself, where that is not the folder's name. */
  readonly source: string | undefined;
  /** The same model for another process of this host, which then asks nobody. */
  readonly name: string;
};

type PlaceOptions = {
  readonly io: Pick<RoleIo, 'log' | 'hub'>;
  readonly part: Part;
  /** Resolves when the process is asked to end. */
  readonly stop: Promise<unknown>;
};

/** Null: `stop` came first. Names that are no repository are left to openModel, which says so. */
export async function placeModel(name: string, options: PlaceOptions): Promise<ModelPlace | null> {
  const repo = hubRepo(name);
  if (repo === null) return { folder: name, source: undefined, name };
  const ended = new AbortController();
  options.stop.then(() => ended.abort());
  try {
    const { commit, folder } = await fromHub(repo, options, ended.signal);
    return { folder, source: repo.id, name: `${repo.id}@${commit}` };
  } catch (thrown) {
    if (ended.signal.aborted) return null;
    throw thrown;
  }
}

/** The repository that `--model-name` means; null where it means a folder or the built-in model. */
export function hubRepo(name: string): Repo | null {
  return name === demoName || existsSync(name) ? null : parseRepo(name);
}

async function fromHub(repo: Repo, { io, part }: PlaceOptions, signal: AbortSignal) {
  const { locate } = await import('../hub/locate.ts');
  const { requireKnown } = await import('../hub/known.ts');
  const { realDisk } = await import('../hub/disk.ts');
  const { openProgress } = await import('../hub/show.ts');
  const { log } = io;
  const located = await locate(repo, {
    settings: io.hub(),
    part,
    checkConfig: requireKnown,
    clock: realClock,
    disk: realDisk,
    progress: openProgress(process.stderr, realClock, (line) => log.info(line)),
    signal,
    warn: (line) => log.warn(line),
  });
  const { commit, folder } = located;
  log.info('Model is in the cache', { model: repoText(repo), commit, folder });
  return located;
}
