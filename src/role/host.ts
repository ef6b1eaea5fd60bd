// Which host this is, for the question "can we share memory?": equal exactly for processes that see
// the same /dev/shm under the same running kernel, so two containers with their own differ.

import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { digest } from '../std/hash.ts';

export function hostIdentity(): string {
  return digest(hostname(), '\n', bootId(), '\n', shmIdentity()).slice(0, 16);
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
