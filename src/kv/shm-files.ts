// The files that arenas lie in, as a port: made, found, mapped and removed by name. The real body is
// files of one folder, /dev/shm; the simulation has one that lives within its process.

import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  rmSync,
} from 'node:fs';
import { Fault } from '../std/fault.ts';
import {
  allocateFile,
  isFileAt,
  lockFile,
  type Mapping,
  mapSharedFile,
  removeUnlockedFile,
  unmap,
} from '../std/memory.ts';

/** A file of ours: nobody removes it while we hold it. */
export type OwnFile = {
  readonly mapping: Mapping;
  /** Removes and unmaps it. */
  close(): void;
};

export type ShmFiles = {
  /** Throws a Fault `config` when there is no room for it. */
  create(name: string, bytes: number): OwnFile;
  /** To be read. Throws a Fault `transfer` when there is no such file or nothing in it yet. */
  map(name: string): Mapping;
  unmap(mapping: Mapping): void;
  has(name: string): boolean;
  /** All there are; none where there is no such folder. */
  names(): string[];
  /** Removes the file unless a living process holds it; true when it was removed. */
  removeUnheld(name: string): boolean;
};

export function shmFiles(folder: string): ShmFiles {
  const path = (name: string): string => `${folder}/${name}`;
  return {
    create(name, bytes) {
      const fd = createLocked(path(name), bytes);
      const mapping = mapSharedFile(fd, bytes, 'write');
      const close = (): void => {
        rmSync(path(name), { force: true });
        unmap(mapping);
        closeSync(fd);
      };
      return { mapping, close };
    },
    map: (name) => mapFile(path(name), name),
    unmap,
    has: (name) => existsSync(path(name)),
    names: () => {
      try {
        return readdirSync(folder);
      } catch {
        return []; // no /dev/shm on this system: nobody has an arena
      }
    },
    removeUnheld: (name) => removeUnlockedFile(path(name)),
  };
}

function mapFile(path: string, name: string): Mapping {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (cause) {
    throw new Fault('transfer', `KV arena ${name} is gone; its worker has died or restarted`, {
      cause,
    });
  }
  try {
    const { size } = fstatSync(fd);
    if (size === 0) throw new Fault('transfer', `KV arena ${name} is still empty`);
    return mapSharedFile(fd, size, 'read');
  } finally {
    closeSync(fd);
  }
}

function createLocked(path: string, bytes: number): number {
  const fd = openSync(path, 'wx+', 0o600);
  // A janitor may look between creation and lock and take the file for a dead owner's: look again.
  const locked = lockFile(fd, 'wait') && isFileAt(path, fd);
  if (!locked) {
    closeSync(fd);
    return createLocked(path, bytes);
  }
  ftruncateSync(fd, bytes);
  if (!allocateFile(fd, bytes)) {
    rmSync(path, { force: true });
    closeSync(fd);
    throw new Fault(
      'config',
      `/dev/shm has no room for the KV arena of ${bytes} bytes; free some or lower --kv-arena-bytes`,
    );
  }
  return fd;
}
