// Memory this process may count on: what the machine could give without swapping, within the limit of
// the control group (a container's) where there is one.

import { readFileSync, statfsSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';

export function freeMemoryBytes(): number {
  return Math.min(availableBytes(), groupBytes());
}

/** All memory of the machine or of the control group, whoever uses it now. */
export function memoryBytes(): number {
  return Math.min(totalmem(), groupLimit());
}

/** Room in /dev/shm (a container's is often 64 MiB); whoever needs none does not care. */
export function freeShmBytes(): number {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm');
    return bavail * bsize;
  } catch {
    return 0;
  }
}

function availableBytes(): number {
  const line = /^MemAvailable:\s+(\d+) kB$/m.exec(readText('/proc/meminfo'));
  return line === null ? freemem() : Number(line[1]) * 1024;
}

function groupBytes(): number {
  return Math.max(0, groupLimit() - Number(readText('/sys/fs/cgroup/memory.current').trim()));
}

function groupLimit(): number {
  const limit = Number(readText('/sys/fs/cgroup/memory.max').trim());
  return limit > 0 ? limit : Number.POSITIVE_INFINITY; // `max`, or no such file
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // not this kind of system
  }
}
