// Which host this is, for the question "can we share memory?": equal for processes that see the same
// /dev/shm under the same running kernel, so two containers with their own differ and two that share it
// do not, whatever they are called. That is what gateways choose pairs by; before KV moves, the reader
// looks for the other's arena itself (`seesArena`).

import { readFileSync, statSync } from 'node:fs';
import { arenaPrefix, shmFolder } from '../kv/arena.ts';
import { isOwnArena } from '../kv/shm-files.ts';
import { digest } from '../std/hash.ts';

export function hostIdentity(): string {
  return digest(bootId(), '\n', shmIdentity()).slice(0, 16);
}

/** Whether that worker's arena lies where this process can map it, and is of the same user. */
export function seesArena(worker: string): boolean {
  return isOwnArena(`${shmFolder}/${arenaPrefix}${worker}`);
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
  } catch {
    return '';
  }
}

function shmIdentity(): string {
  try {
    const { dev, ino } = statSync('/dev/shm');
    return `${dev}:${ino}`;
  } catch {
    return 'none';
  }
}
