// The hub's API by its own library: which commit a revision is, and what files a commit has. What comes
// back is looked at before anybody uses it.

import { listFiles, modelInfo } from '@huggingface/hub';
import * as v from 'valibot';
import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import type { HubHttp } from './http.ts';
import { isCommit, isFileName, type Repo } from './name.ts';

/** A file of a repository, and by what its bytes are known: the name of its blob in the cache. */
export type HubFile = {
  readonly name: string;
  readonly bytes: number;
  /** SHA-256 of the bytes (large files), or SHA-1 of git's blob: a header, then the bytes. */
  readonly hash: 'sha256' | 'git';
  readonly etag: string;
};

const infoSchema = v.object({ sha: v.pipe(v.string(), v.check(isCommit)) });
const sizeSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const entrySchema = v.object({
  type: v.string(),
  path: v.string(),
  size: sizeSchema,
  oid: v.optional(v.string()),
  lfs: v.optional(v.object({ oid: v.string(), size: sizeSchema })),
});

export type HubClient = {
  commit(repo: Repo): Promise<string>;
  /** The files beside config.json; folders, and names that no file of a model has, are left out. */
  files(repo: Repo, commit: string): Promise<readonly HubFile[]>;
};

export function openClient(endpoint: string, http: HubHttp): HubClient {
  const common = { hubUrl: endpoint, fetch: http.fetch };
  return {
    async commit({ id, revision }) {
      const asked = { ...common, name: id, revision, additionalFields: ['sha' as const] };
      const info = await readable(http, () => modelInfo(asked));
      const parsed = v.safeParse(infoSchema, info);
      if (parsed.success) return parsed.output.sha;
      throw strange(http.host, `the commit of ${id}`);
    },
    async files({ id }, commit) {
      const files: HubFile[] = [];
      let count = 0;
      await readable(http, async () => {
        for await (const entry of listFiles({ ...common, repo: id, revision: commit })) {
          if (++count > limit.hubFileCountMax) {
            const text = `${id} has more than ${limit.hubFileCountMax} files`;
            throw new Fault('config', `${text}; this is no repository of a model`);
          }
          const parsed = v.safeParse(entrySchema, entry);
          if (!parsed.success) throw strange(http.host, `the files of ${id}`);
          const file = fileOf(parsed.output);
          if (file !== null) files.push(file);
        }
      });
      return files;
    },
  };
}

function fileOf({ type, path, size, oid, lfs }: v.InferOutput<typeof entrySchema>): HubFile | null {
  if (type !== 'file' || !isFileName(path)) return null;
  if (lfs !== undefined && /^[0-9a-f]{64}$/.test(lfs.oid)) {
    return { name: path, bytes: lfs.size, hash: 'sha256', etag: lfs.oid };
  }
  if (oid === undefined || !isCommit(oid)) return null;
  return { name: path, bytes: size, hash: 'git', etag: oid };
}

/** What the library throws by itself is about an answer that it could not read. */
async function readable<T>(http: HubHttp, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw strange(http.host, 'a question of the API', thrown);
  }
}

function strange(host: string, what: string, cause?: unknown): Fault {
  const text = `${host} answers ${what} in a form of its own`;
  return new Fault('config', `${text}; is HF_ENDPOINT a Hugging Face Hub?`, { cause });
}
