// What the hub says when it does not give something, as one line with its mend. Pure. `reason` is one word:
// `network` means that asking again may help, the others that it will not.

import { Fault } from '../std/fault.ts';
import type { Repo } from './name.ts';

export type Refusal = {
  readonly status: number;
  readonly headers: Headers;
  readonly repo: Repo;
  readonly endpoint: string;
  readonly hasToken: boolean;
  /** The file asked for; null: the repository itself. */
  readonly file: string | null;
};

export function refusalOf(refusal: Refusal): Fault {
  const { status, headers, repo, endpoint, hasToken, file } = refusal;
  const fault = (reason: string, text: string): Fault => new Fault('config', text, { reason });
  const page = `${endpoint}/${repo.id}`;
  const said = plain(headers.get('x-error-message') ?? '');
  switch (headers.get('x-error-code')) {
    case 'GatedRepo':
      return fault('gated', gatedLine(repo, page, hasToken, said));
    case 'RevisionNotFound':
      return fault(
        'revision',
        `${repo.id} has no revision ${repo.revision}; see ${page}/tree/main for its branches`,
      );
    case 'EntryNotFound':
      return fault('entry', `${repo.id} has no file ${file ?? ''} at ${repo.revision}`);
    case 'RepoNotFound':
      return fault('repo', missingLine(repo, endpoint, hasToken));
  }
  if (status === 401 && (hasToken || /invalid|expired/i.test(said))) {
    const text = `${endpoint} does not accept the token (401${said && `: ${said}`})`;
    return fault('token', `${text}; set HF_TOKEN to a valid one, or unset it for public models`);
  }
  if (status === 401 || status === 404) {
    return fault('repo', missingLine(repo, endpoint, hasToken));
  }
  if (status === 403) {
    const text = `${endpoint} forbids ${repo.id} (403${said && `: ${said}`})`;
    return fault('forbidden', `${text}; see ${page}, and what the token of HF_TOKEN may read`);
  }
  return busyLine(new URL(endpoint).host, status, headers, said);
}

/** Of a server that is not the hub: the links to it end after a while, and a new one may work. */
export function foreignRefusal(host: string, { status, headers }: Response): Fault {
  return busyLine(host, status, headers, '');
}

function busyLine(host: string, status: number, headers: Headers, said: string): Fault {
  const seconds = Number(headers.get('retry-after') ?? Number.NaN);
  const wait = Number.isFinite(seconds) && seconds >= 0 ? { retryAfterS: Math.ceil(seconds) } : {};
  return new Fault('config', `${host} answers ${status}${said && `: ${said}`}; try again later`, {
    reason: 'network',
    ...wait,
  });
}

function gatedLine(repo: Repo, page: string, hasToken: boolean, said: string): string {
  const text = `${repo.id} is gated: its owners decide who may read it`;
  const hub = said === '' ? '' : ` (${said})`;
  return hasToken
    ? `${text}, and the account of your token may not${hub}; ask for access at ${page}`
    : `${text}; ask for access at ${page}, then set HF_TOKEN to a token of that account${hub}`;
}

function missingLine(repo: Repo, endpoint: string, hasToken: boolean): string {
  const text = `${endpoint} has no model ${repo.id}, and there is no folder of that name`;
  return hasToken
    ? `${text}; check the spelling, and that the account of HF_TOKEN may read it if it is private`
    : `${text}; check the spelling, or set HF_TOKEN if it is private`;
}

/** The hub's own words, short and on one line: they go to a terminal. */
function plain(text: string): string {
  return text
    .replaceAll(/[^ -~]+/g, ' ')
    .trim()
    .replace(/\.$/, '')
    .slice(0, 200);
}
