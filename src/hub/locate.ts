// Where a repository's snapshot is for somebody who wants to start with it: in the cache, or in the cache
// after a download. A start must not fail for want of a hub that it could do without: whatever goes wrong
// there, a complete snapshot is used, with a line that says so.

import { limit } from '../protocol/limit.ts';
import { Fault, toFault } from '../std/fault.ts';
import { RepoCache } from './cache.ts';
import { isCommit, type Repo, repoText } from './name.ts';
import { type PullOptions, pull } from './pull.ts';

export type Located = { readonly commit: string; readonly folder: string };

export type LocateOptions = Omit<PullOptions, 'limitMs'> & {
  readonly warn: (line: string) => void;
};

export async function locate(repo: Repo, options: LocateOptions): Promise<Located> {
  const { settings, part, signal, warn } = options;
  const cached = new RepoCache(settings.cacheDir, repo).lookUp(part);
  const isWhole = cached !== null && cached.missing.length === 0;
  // A commit never changes: there is nothing to ask.
  if (isWhole && (settings.offline || isCommit(repo.revision))) return cached;
  if (settings.offline) throw offlineFault(repo, settings.cacheDir, cached?.missing ?? null);
  try {
    const limitMs = isWhole ? limit.hubFreshMs : limit.hubAnswerMs;
    return await pull(repo, { ...options, limitMs });
  } catch (thrown) {
    if (!isWhole || signal.aborted) throw thrown;
    const { message } = toFault(thrown);
    warn(`${repoText(repo)} as it is in the cache, ${cached.commit.slice(0, 12)}: ${message}`);
    return cached;
  }
}

/** @param missing null: the cache knows nothing of it. */
export function offlineFault(
  repo: Repo,
  cacheDir: string,
  missing: readonly string[] | null,
): Fault {
  const name = repoText(repo);
  const found = missing === null ? 'is not' : `is not whole (no ${missing.join(', no ')})`;
  const text = `${name} ${found} in ${cacheDir}, and HF_HUB_OFFLINE forbids to ask for it`;
  const mend = `unset it, or copy the cache of a machine that ran tdist pull ${name}`;
  return new Fault('config', `${text}; ${mend}`, { reason: 'offline' });
}
