// `tdist pull`: a model into the cache that all tools of Hugging Face share. The folder comes on stdout,
// how far it is on stderr.

import { RepoCache } from '../hub/cache.ts';
import { realDisk } from '../hub/disk.ts';
import { requireKnown } from '../hub/known.ts';
import { offlineFault } from '../hub/locate.ts';
import { parseRepo, type Repo } from '../hub/name.ts';
import { sizeText } from '../hub/progress.ts';
import { type Pulled, pull } from '../hub/pull.ts';
import type { HubSettings } from '../hub/settings.ts';
import { openProgress } from '../hub/show.ts';
import { limit } from '../protocol/limit.ts';
import { realClock } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import { hubOf } from './hub-env.ts';
import type { Output } from './output.ts';
import type { Env } from './parse.ts';
import { hintFor } from './suggest.ts';

const help = `Usage: tdist pull ORG/REPO[@REVISION] [--json]

Downloads what a worker reads of a model: its configuration, tokenizer, chat template and safetensors. They
go where Python's tools have them, so either finds what the other has downloaded. A download that was cut
goes on where it ended; each file is checked against the hub's size and hash before it has its name.
REVISION is a branch, a tag or a commit (default main). Prints the folder.

  --json    print repository, revision, commit, folder and files as JSON
  --help    print this text

Environment, as Python's tools read it:
  HF_TOKEN          token for private and gated models; else the one that \`hf auth login\` stored
  HF_HOME           holds cache and token  (default ~/.cache/huggingface)
  HF_HUB_CACHE      the cache alone  (default HF_HOME/hub)
  HF_ENDPOINT       the hub  (default https://huggingface.co)
  HF_HUB_OFFLINE    1: ask nobody; succeeds if the cache has all of it

Exit codes: 0 done, 1 failed, 2 wrong command line.`;

/** The exit code. Throws a Fault where it is not 0. */
export async function runPull(argv: readonly string[], output: Output, env: Env): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    output.out(help);
    return 0;
  }
  const { repo, json } = readWords(argv);
  const settings = hubOf(env);
  const pulled = settings.offline
    ? fromCache(repo, settings)
    : await pull(repo, {
        settings,
        part: 'model',
        checkConfig: requireKnown,
        clock: realClock,
        disk: realDisk,
        progress: openProgress(process.stderr, realClock, (line) => output.err(line)),
        signal: new AbortController().signal, // a signal ends the process; what has come is kept
        limitMs: limit.hubAnswerMs,
      });
  output.out(json ? jsonText(repo, pulled) : pulled.folder);
  if (!json) output.err(summary(pulled));
  return 0;
}

function fromCache(repo: Repo, { cacheDir }: HubSettings): Pulled {
  const cached = new RepoCache(cacheDir, repo).lookUp('model');
  if (cached === null || cached.missing.length > 0) {
    throw offlineFault(repo, cacheDir, cached?.missing ?? null);
  }
  return { commit: cached.commit, folder: cached.folder, files: [] };
}

function jsonText({ id, revision }: Repo, { commit, folder, files }: Pulled): string {
  const shown = files.map(({ name, bytes, downloadedBytes }) => ({
    name,
    bytes,
    downloaded_bytes: downloadedBytes,
  }));
  return JSON.stringify({ repository: id, revision, commit, folder, files: shown }, null, 2);
}

function summary({ commit, files }: Pulled): string {
  if (files.length === 0) return `Commit ${commit} is in the cache; the hub was not asked`;
  const came = files.reduce((sum, file) => sum + file.downloadedBytes, 0);
  const all = files.reduce((sum, file) => sum + file.bytes, 0);
  return `Commit ${commit}: ${files.length} files, ${sizeText(all)}, ${sizeText(came)} of it downloaded now`;
}

function readWords(argv: readonly string[]): { readonly repo: Repo; readonly json: boolean } {
  const flags = argv.filter((word) => word.startsWith('-'));
  const unknown = flags.find((word) => word !== '--json');
  if (unknown !== undefined) {
    const known = ['--json', '--help'];
    const hint = hintFor(unknown, known, `it knows ${known.join(', ')}`);
    throw new Fault('usage', `pull: unknown flag ${unknown}; ${hint}`);
  }
  const [name, ...more] = argv.filter((word) => !word.startsWith('-'));
  if (name === undefined || more.length > 0) {
    const count = name === undefined ? 0 : more.length + 1;
    throw new Fault('usage', `pull takes one ORG/REPO[@REVISION]; ${count} were given`);
  }
  const repo = parseRepo(name);
  if (repo !== null) return { repo, json: flags.length > 0 };
  const shown = JSON.stringify(name);
  throw new Fault('usage', `pull ${shown}: wanted ORG/REPO or ORG/REPO@REVISION`);
}
