// What a test's processes may leave behind on a Linux machine. Whose a process is shows a mark in its
// environment, which children inherit, nats-server included.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { arenaPrefix, shmFolder } from '../../src/kv/arena.ts';

export const markName = 'E2E_WORLD';

export type Found = { readonly pid: number; readonly command: string };

/** Living processes that carry the mark; zombies show no environment and do not count. */
export function markedProcesses(mark: string): Found[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    if (!`\0${procText(pid, 'environ')}`.includes(`\0${markName}=${mark}\0`)) return [];
    return [{ pid: Number(pid), command: procText(pid, 'cmdline').replaceAll('\0', ' ').trim() }];
  });
}

/** Arenas in /dev/shm that belong to these workers. */
export function arenasOf(workers: Iterable<string>): string[] {
  return [...workers]
    .map((worker) => `${shmFolder}/${arenaPrefix}${worker}`)
    .filter((path) => existsSync(path));
}

/** Store folders of nats-server under `folder`. */
export function storesIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith('tdist-'))
    .map((name) => join(folder, name));
}

/** Empty where the process ends while we look. */
export function procText(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}
