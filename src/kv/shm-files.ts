// The files that arenas lie in, as a port: made, found, mapped and removed by name. The real body is
// files of one folder, /dev/shm; the simulation has one that lives within its process.

import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readdirSync,
  rmSync,
  type Stats,
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
  /**
   * To be read. Throws a Fault `transfer` when there is no such file, nothing in it yet, or when it is
   * not this user's alone: another user could have put there what he likes.
   */
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

/** Whether the file is there and may be read as a peer's. */
export function isOwnArena(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found !== undefined && flawOf(found) === null;
}

const othersBits = 0o077;

/** Why a peer's file is not believed; null: it is a plain file that only our user can have written. */
function flawOf(found: Stats): string | null {
  const user = process.geteuid?.() ?? found.uid;
  if (!found.isFile()) return 'it is not a plain file';
  if (found.uid !== user) return `it belongs to user ${found.uid}, and we are user ${user}`;
  if ((found.mode & othersBits) === 0) return null;
  return `others have rights on it (mode ${(found.mode & 0o777).toString(8)})`;
}

function mapFile(path: string, name: string): Mapping {
  let fd: number;
  try {
    // No link is followed, and no pipe is waited for.
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : '';
    if (code === 'EACCES') throw foreign(name, 'its user does not let us read it', cause);
    if (code === 'ELOOP') throw foreign(name, 'it is a symbolic link', cause);
    throw new Fault('transfer', `KV arena ${name} is gone; its worker has died or restarted`, {
      cause,
    });
  }
  try {
    const found = fstatSync(fd);
    const flaw = flawOf(found);
    if (flaw !== null) throw foreign(name, flaw);
    const { size } = found;
    if (size === 0) throw new Fault('transfer', `KV arena ${name} is still empty`);
    return mapSharedFile(fd, size, 'read');
  } finally {
    closeSync(fd);
  }
}

function foreign(name: string, flaw: string, cause?: unknown): Fault {
  const mend = 'workers share memory only with workers of the same user; start them as one';
  return new Fault('transfer', `KV arena ${name} is not read: ${flaw}; ${mend}`, { cause });
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
