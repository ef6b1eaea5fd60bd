// A hub on this machine that speaks what the real one does: its API, `resolve` with redirects (files of git
// to itself, large ones to a second server that stands for the CDN), ranges, etags, error headers. Faults
// are set by file; whatever was asked is kept.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { digest } from '../../src/std/hash.ts';

export type FakeFile = { readonly bytes: Uint8Array; readonly isLarge: boolean };

export type Asked = {
  readonly server: 'hub' | 'cdn';
  readonly path: string;
  readonly range: string | null;
  readonly authorization: string | null;
};

export type FileFault =
  | { readonly type: 'cut'; readonly afterBytes: number }
  | { readonly type: 'silent'; readonly afterBytes: number }
  | { readonly type: 'status'; readonly status: number; readonly headers?: Record<string, string> }
  | { readonly type: 'other bytes'; readonly bytes: Uint8Array; readonly afterBytes?: number }
  | { readonly type: 'no ranges' };

export type FakeRepo = {
  readonly id: string;
  /** Branch or tag → commit. */
  readonly refs: Map<string, string>;
  readonly files: Map<string, FakeFile>;
  /** Who may read it: everybody, those with the token, nobody. */
  access: 'open' | 'private' | 'gated' | 'denied';
};

const pageCount = 4;

export class FakeHub implements AsyncDisposable {
  readonly asked: Asked[] = [];
  readonly token = 'hf_right';
  /** Taken one by one, by the requests for a file's bytes. */
  readonly faults = new Map<string, FileFault[]>();
  /** What `resolve` says beside the redirect, in place of the truth. */
  readonly linked = new Map<string, Record<string, string>>();
  /** Answers of the API in place of the right ones, one by one. */
  readonly apiFaults: Extract<FileFault, { type: 'status' | 'silent' }>[] = [];
  /** The listing never ends. */
  isEndless = false;
  /** Entries that the listing has besides. */
  readonly strangeEntries: object[] = [];
  /** Called before the bytes of a file are sent. */
  onBytes: (file: string) => Promise<void> | void = () => undefined;
  /**
   * Resolves when the client has so many bytes of the file. A cut waits for it: whatever a client's socket
   * holds unread when the connection breaks may be lost.
   */
  hasTaken: (file: string, bytes: number) => Promise<void> = () => Promise.resolve();
  /** Called when the hub has fallen silent as it was told to. */
  onSilent: () => void = () => undefined;
  readonly #repos = new Map<string, FakeRepo>();
  readonly #hub: Server;
  readonly #cdn: Server;

  private constructor() {
    this.#hub = createServer((request, response) => void this.#serve('hub', request, response));
    this.#cdn = createServer((request, response) => void this.#serve('cdn', request, response));
  }

  static async start(): Promise<FakeHub> {
    const hub = new FakeHub();
    for (const server of [hub.#hub, hub.#cdn]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    }
    return hub;
  }

  get endpoint(): string {
    return origin(this.#hub);
  }

  /** Gives the repository these files at a new commit, which `main` leads to. */
  add(id: string, files: Readonly<Record<string, string | Uint8Array>>): FakeRepo {
    const known = this.#repos.get(id);
    const repo: FakeRepo = known ?? {
      id,
      refs: new Map(),
      files: new Map(),
      access: 'open',
    };
    repo.files.clear();
    for (const [name, content] of Object.entries(files)) {
      const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
      repo.files.set(name, { bytes, isLarge: /\.(safetensors|bin|gguf)$/.test(name) });
    }
    const listed = [...repo.files].map(([name, file]) => `${name} ${etagOf(file)}`).join('\n');
    repo.refs.set('main', digest(listed).slice(0, 40));
    this.#repos.set(id, repo);
    return repo;
  }

  fault(file: string, ...faults: readonly FileFault[]): void {
    this.faults.set(file, [...faults]);
  }

  /** The requests for bytes of that file that reached the server which has them. */
  bytesAsked(file: string): readonly Asked[] {
    return this.asked.filter(({ path }) => path.startsWith('/bytes/') && path.endsWith(`/${file}`));
  }

  get bytesAskedFirst(): string | undefined {
    return this.asked
      .find(({ path }) => path.startsWith('/bytes/'))
      ?.path.split('/')
      .at(-1);
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#cdn]) {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #serve(
    server: 'hub' | 'cdn',
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const url = new URL(request.url ?? '', 'http://any');
    const path = decodeURIComponent(url.pathname);
    const { range = null, authorization = null } = request.headers;
    this.asked.push({ server, path, range, authorization });
    const words = path.split('/').slice(1);
    if (words[0] === 'bytes') return await this.#bytes(words, range, response);
    if (server === 'cdn') return answer(response, 404, {});
    const isApi = words[0] === 'api';
    const fault = isApi ? this.apiFaults.shift() : undefined;
    if (fault?.type === 'silent') return this.onSilent(); // nothing at all
    if (fault !== undefined) return answer(response, fault.status, fault.headers ?? {});
    const [org, name, verb, revision = ''] = isApi ? words.slice(2) : words;
    const repo = this.#repos.get(`${org}/${name}`);
    const refused = this.#refusal(isApi, repo, authorization);
    if (repo === undefined || refused !== null) return answer(response, ...(refused ?? none));
    const commits = [...repo.refs.values()];
    const commit = commits.includes(revision) ? revision : repo.refs.get(revision);
    if (commit === undefined) return answer(response, 404, { 'x-error-code': 'RevisionNotFound' });
    if (verb === 'revision') return json(response, infoOf(repo, commit));
    if (verb === 'tree') return this.#tree(repo, url, response);
    return this.#resolve(repo, commit, words.slice(4).join('/'), response);
  }

  #refusal(
    isApi: boolean,
    repo: FakeRepo | undefined,
    authorization: string | null,
  ): [number, Record<string, string>] | null {
    const isKnown = authorization === `Bearer ${this.token}`;
    const isListed = repo?.access === 'gated' || repo?.access === 'denied';
    if (authorization !== null && !isKnown) {
      const said = 'Invalid credentials in Authorization header';
      return [401, { 'x-error-message': said }];
    }
    const access = repo?.access ?? 'private';
    if (access === 'open' || (isApi && isListed)) return null; // all but the bytes is public
    if (repo === undefined || access === 'private') {
      if (isKnown && repo !== undefined) return null;
      return [isKnown ? 404 : 401, { 'x-error-code': 'RepoNotFound' }];
    }
    if (access === 'gated' && isKnown) return null;
    const said = `Access to model ${repo.id} is restricted.`;
    return [isKnown ? 403 : 401, { 'x-error-code': 'GatedRepo', 'x-error-message': said }];
  }

  #tree(repo: FakeRepo, url: URL, response: ServerResponse): void {
    const at = Number(url.searchParams.get('cursor') ?? 0);
    const files = [...repo.files].map(([path, file]) => entryOf(path, file));
    const all = [{ type: 'directory', oid: '0'.repeat(40), size: 0, path: 'onnx' }, ...files];
    const entries = [...all, ...this.strangeEntries];
    url.searchParams.set('cursor', String(at + pageCount));
    const next = `<${this.endpoint}${url.pathname}?${url.searchParams}>; rel="next"`;
    const more = this.isEndless || at + pageCount < entries.length ? { link: next } : {};
    json(response, entries.slice(at, at + pageCount), more);
  }

  #resolve(repo: FakeRepo, commit: string, name: string, response: ServerResponse): void {
    const file = repo.files.get(name);
    if (file === undefined) return answer(response, 404, { 'x-error-code': 'EntryNotFound' });
    const place = `/bytes/${repo.id}/${encodeURIComponent(name)}`;
    answer(response, file.isLarge ? 302 : 307, {
      location: file.isLarge ? `${origin(this.#cdn)}${place}?signature=secret` : place,
      'x-repo-commit': commit,
      'x-linked-etag': `"${etagOf(file)}"`,
      'x-linked-size': String(file.bytes.length),
      ...this.linked.get(name),
    });
  }

  async #bytes(
    [, org, repo, name = '']: readonly string[],
    range: string | null,
    response: ServerResponse,
  ): Promise<void> {
    const file = this.#repos.get(`${org}/${repo}`)?.files.get(name);
    if (file === undefined) return answer(response, 404, {});
    await this.onBytes(name);
    const fault = this.faults.get(name)?.shift();
    if (fault?.type === 'status') return answer(response, fault.status, fault.headers ?? {});
    const bytes = fault?.type === 'other bytes' ? fault.bytes : file.bytes;
    const from = fault?.type === 'no ranges' ? null : /^bytes=(\d+)-$/.exec(range ?? '');
    const begin = Number(from?.[1] ?? 0);
    if (from !== null && begin >= bytes.length) return answer(response, 416, {});
    const part = bytes.subarray(begin);
    const ends = `bytes ${begin}-${bytes.length - 1}/${bytes.length}`;
    response.writeHead(from === null ? 200 : 206, {
      etag: '"of the cdn itself"',
      'content-length': part.length,
      ...(from === null ? {} : { 'content-range': ends }),
    });
    const cutAfter =
      fault?.type === 'cut' || fault?.type === 'other bytes' ? fault.afterBytes : null;
    if (typeof cutAfter === 'number') {
      response.write(part.subarray(0, cutAfter));
      await this.hasTaken(name, begin + cutAfter);
      response.socket?.destroy();
    } else if (fault?.type === 'silent') {
      response.write(part.subarray(0, fault.afterBytes));
      await this.hasTaken(name, begin + fault.afterBytes);
      this.onSilent();
    } else response.end(part);
  }
}

const none: [number, Record<string, string>] = [404, { 'x-error-code': 'RepoNotFound' }];

function origin(server: Server): string {
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return `http://127.0.0.1:${address.port}`;
}

function answer(response: ServerResponse, status: number, headers: Record<string, string>): void {
  response.writeHead(status, headers).end();
}

function json(response: ServerResponse, value: object, headers: Record<string, string> = {}): void {
  response.writeHead(200, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

function infoOf(repo: FakeRepo, sha: string): object {
  return {
    _id: '1',
    id: repo.id,
    sha,
    private: repo.access === 'private',
    gated: repo.access === 'gated' ? 'manual' : false,
    downloads: 0,
    likes: 0,
    lastModified: '2026-01-01T00:00:00.000Z',
  };
}

function entryOf(path: string, file: FakeFile): object {
  const size = file.bytes.length;
  const oid = file.isLarge ? '1'.repeat(40) : etagOf(file);
  const lfs = { oid: etagOf(file), size, pointerSize: 134 };
  return {
    type: 'file',
    oid,
    size,
    path,
    ...(file.isLarge ? { lfs, xetHash: '2'.repeat(64) } : {}),
  };
}

/** SHA-256 of large files, git's own hash of the others. */
export function etagOf({ bytes, isLarge }: FakeFile): string {
  if (isLarge) return digest(bytes);
  const git = new Bun.CryptoHasher('sha1').update(`blob ${bytes.length}\0`);
  return git.update(bytes).digest('hex');
}
