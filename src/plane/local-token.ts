// The random token of a nats-server that only its own deployment uses (`--role all`): it lies in the
// server's store folder (0700, named by its owner) in a file of mode 0600 named by the port. Programs of
// the same user that connect to that port on this host, and were given no credentials, find it there; other
// users cannot read it, and what they put in its place is not believed.

import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isOwnFolder, livingStores } from './nats-store.ts';
import type { PlaneUri } from './uri.ts';

const fileName = (port: number): string => `token-${port}`;
const othersBits = 0o077;

/** Written whole: a client that looks meanwhile finds the old one or the new one. */
export function writeLocalToken(store: string, port: number, token: string): void {
  const path = join(store, fileName(port));
  const draft = `${path}.new`;
  rmSync(draft, { force: true });
  writeFileSync(draft, token, { mode: 0o600, flag: 'wx' });
  renameSync(draft, path);
}

/** Null where there is none, or the address needs none: another host's, or one with credentials. */
export function localToken(uri: PlaneUri, root: string = tmpdir()): string | null {
  if (uri.user !== null || uri.token !== null || !isLoopback(uri.host)) return null;
  for (const store of livingStores(root)) {
    const token = isOwnFolder(store) ? read(join(store, fileName(uri.port))) : null;
    if (token !== null) return token;
  }
  return null;
}

export function isLoopback(host: string): boolean {
  return host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Null unless it is a plain file of ours that nobody else can read. */
function read(path: string): string | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return null; // another port's server
  }
  try {
    const found = fstatSync(fd);
    const isPlain = found.isFile() && (found.mode & othersBits) === 0;
    const isGood = isPlain && found.uid === process.geteuid?.();
    const text = isGood ? readFileSync(fd, 'utf8') : '';
    return /^[0-9a-f]{32,128}$/.test(text) ? text : null;
  } finally {
    closeSync(fd);
  }
}
