// A model from the hub into the cache: commit, list, choose, see that it fits, download several files at
// once, publish. Asks the hub in any case; locate.ts decides whether that is needed.

import { readFileSync } from 'node:fs';
import { limit } from '../protocol/limit.ts';
import type { Clock } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import { type BlobOptions, fetchBlob } from './blob.ts';
import { RepoCache } from './cache.ts';
import { type HubFile, openClient } from './client.ts';
import type { Disk } from './disk.ts';
import { HubHttp } from './http.ts';
import { type Repo, repoText } from './name.ts';
import { noProgress, type Progress, sizeText } from './progress.ts';
import { type Part, select, selectIndexed } from './selection.ts';
import type { HubSettings } from './settings.ts';

const configFile = 'config.json';

export type PullOptions = {
  readonly settings: HubSettings;
  readonly part: Part;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Looks at config.json before the weights come; throws a Fault where they would be of no use. */
  readonly checkConfig?: (config: Uint8Array, where: string) => void;
  /** For each answer of the API. */
  readonly limitMs: number;
};

export type Pulled = {
  readonly commit: string;
  /** A model folder. */
  readonly folder: string;
  readonly files: readonly {
    readonly name: string;
    readonly bytes: number;
    readonly downloadedBytes: number;
  }[];
};

/** Faults with code `config`, `timeout` or `cancelled`, one line each. */
export async function pull(repo: Repo, options: PullOptions): Promise<Pulled> {
  const { settings, progress } = options;
  const http = new HubHttp({ ...options, repo });
  const client = openClient(settings.endpoint, http);
  const commit = await client.commit(repo);
  const listed = await client.files(repo, commit);
  const cache = new RepoCache(settings.cacheDir, repo);
  const patient = new HubHttp({ ...options, repo, limitMs: limit.hubAnswerMs });
  const urlOf = ({ name }: HubFile): URL =>
    new URL(`${settings.endpoint}/${repo.id}/resolve/${commit}/${encodeURIComponent(name)}`);
  const blobs: BlobOptions = { ...options, cache, http: patient, urlOf };
  const { texts, index, weights } = select(listed, options.part, repoText(repo));
  const downloaded = new Map<string, number>();
  if (index !== null) {
    cache.prepare();
    downloaded.set(index.name, await fetchBlob(index, { ...blobs, progress: noProgress }));
  }
  const shards =
    index === null
      ? weights
      : [index, ...selectIndexed(listed, readFileSync(cache.blob(index)), repoText(repo))];
  const files = [...texts, ...shards]; // weights last: without them no folder is taken for whole
  if (files.some((file) => !cache.has(file))) {
    cache.prepare();
    requireSpace(files, cache, options.disk);
    const starts = files.map((file) => ({
      name: file.name,
      bytes: file.bytes,
      haveBytes: cache.haveBytes(file),
    }));
    // What a hub lists it may still refuse to give: a gated model. One small file tells.
    const first = texts.find(({ name }) => name === configFile) ?? texts[0];
    if (first !== undefined) {
      downloaded.set(first.name, await fetchBlob(first, { ...blobs, progress: noProgress }));
      const where = `${repoText(repo)}/${first.name}`;
      if (first.name === configFile) options.checkConfig?.(readFileSync(cache.blob(first)), where);
    }
    progress.begin(repoText(repo), starts);
    try {
      await fetchAll(files, blobs, downloaded);
    } finally {
      progress.end();
    }
  }
  return {
    commit,
    folder: cache.publish(commit, files, options.part),
    files: files.map(({ name, bytes }) => ({
      name,
      bytes,
      downloadedBytes: downloaded.get(name) ?? 0,
    })),
  };
}

/** A few at once, in their order; the first failure ends the others, too. */
async function fetchAll(
  files: readonly HubFile[],
  blobs: BlobOptions,
  downloaded: Map<string, number>,
): Promise<void> {
  const failed = new AbortController();
  const signal = AbortSignal.any([blobs.signal, failed.signal]);
  const rest = files.values();
  let first: unknown = null;
  const lane = async (): Promise<void> => {
    for (const file of rest) {
      if (signal.aborted) return;
      try {
        const bytes = await fetchBlob(file, { ...blobs, signal });
        downloaded.set(file.name, (downloaded.get(file.name) ?? 0) + bytes);
      } catch (thrown) {
        first ??= thrown;
        failed.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: limit.hubLaneMax }, lane));
  if (first !== null) throw first;
}

function requireSpace(files: readonly HubFile[], cache: RepoCache, disk: Disk): void {
  const wanted = files.reduce((sum, file) => sum + file.bytes - cache.haveBytes(file), 0);
  const free = disk.freeBytes(cache.cacheDir);
  if (free >= wanted) return;
  const text = `${sizeText(wanted)} are to come, and ${cache.cacheDir} has ${sizeText(free)} free`;
  throw new Fault('config', `${text}; free some, or set HF_HOME to a folder with more`, {
    reason: 'space',
  });
}
