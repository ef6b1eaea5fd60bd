// A command that has a small file system of its own over one folder: what fills up there fills up for it
// alone, and is gone with it.

import { spawnSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { asRoot, systemPath } from './hosts.ts';
import type { Program } from './program.ts';
import type { World } from './world.ts';

const own = ['unshare', ...asRoot, '--mount', '--'];

/** Why there can be no such thing here, for the name of a skipped test; null: there can. */
export function mountsRefusal(): string | null {
  const [tool = '', ...rest] = [...own, 'mount', '-t', 'tmpfs', 'tmpfs', '/dev/shm'];
  const tried = spawnSync(tool, rest, { env: { PATH: systemPath }, encoding: 'utf8' });
  if (tried.status === 0) return null;
  return tried.error?.message ?? `the kernel refuses: ${tried.stderr.trim()}`;
}

/** `./tdist` with so many bytes in that folder, for it and its children. */
export function startWithin(
  world: World,
  room: { readonly folder: string; readonly kib: number },
  args: readonly string[],
): Program {
  const script = `mount -t tmpfs -o size=${room.kib}k tmpfs "$0" && exec "$@"`;
  const command = [...own, 'sh', '-c', script, room.folder, world.executable, ...args];
  return world.spawn(command, { ...world.env, PATH: systemPath });
}

/** Takes all room that is left in a folder as that process sees it; returns the file that does. */
export function fill(pid: number, folder: string): string {
  const path = `/proc/${pid}/root${folder}/filler`;
  const fd = openSync(path, 'w');
  try {
    for (const bytes of [2 ** 20, 4096]) writeUntilFull(fd, new Uint8Array(bytes));
  } finally {
    closeSync(fd);
  }
  return path;
}

function writeUntilFull(fd: number, bytes: Uint8Array): void {
  try {
    while (writeSync(fd, bytes) === bytes.length);
  } catch (error) {
    if (!String(error).includes('ENOSPC')) throw error;
  }
}
