// The embedded nats-server's JetStream folder. Its name says who owns it (process id and start time,
// so that a reused id fools nobody); what owners left behind that died without cleaning up is swept at
// the next start.

import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const prefix = 'tdist-nats-';
let createdCount = 0;

/** Makes a folder of this process's own under `root`, after sweeping those of dead owners. */
export function createStore(root: string): string {
  mkdirSync(root, { recursive: true });
  sweepStores(root);
  const owner = `${process.pid}-${startOf(process.pid) ?? '0'}`;
  const path = join(root, `${prefix}${owner}-${createdCount++}`);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { mode: 0o700 });
  return path;
}

/** A folder of this user's, and nobody else's to look or write into. */
export function isOwnFolder(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return (
    found?.isDirectory() === true && found.uid === process.geteuid?.() && (found.mode & 0o077) === 0
  );
}

export function sweepStores(root: string): void {
  for (const { path, isAlive } of storesIn(root)) {
    if (!isAlive) rmSync(path, { recursive: true, force: true });
  }
}

/** Folders whose owner lives, whoever that is; none where `root` cannot be read. */
export function livingStores(root: string): readonly string[] {
  try {
    return storesIn(root).flatMap(({ path, isAlive }) => (isAlive ? [path] : []));
  } catch {
    return [];
  }
}

function storesIn(root: string): readonly { readonly path: string; readonly isAlive: boolean }[] {
  return readdirSync(root).flatMap((name) => {
    const owner = /^tdist-nats-(\d+)-(\d+)-\d+$/.exec(name);
    if (owner === null) return [];
    return [{ path: join(root, name), isAlive: isAlive(Number(owner[1]), owner[2]) }];
  });
}

function isAlive(pid: number, start: string | undefined): boolean {
  const now = startOf(pid);
  if (now !== null) return start === '0' || now === start;
  if (process.platform === 'linux') return false;
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Clock ticks since boot at which a process began: field 22 of /proc/PID/stat (man 5 proc). */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Field 2, the name, may hold blanks and brackets; field 3 follows the last bracket.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
