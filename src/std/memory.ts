// Memory outside the JavaScript heap: KV pools, shared arenas and the buffers ONNX Runtime reads and
// writes. An address is a plain number, so a thread can be told of it; the owner unmaps it.
// Linux and macOS; the constants below differ between them where noted.

import { dlopen, type Pointer, ptr, read, toArrayBuffer } from 'bun:ffi';
import { closeSync, constants, fstatSync, openSync, statSync, unlinkSync } from 'node:fs';
import { Fault } from './fault.ts';

/** What C's `errno` stands for: its address, of this thread. */
const errnoAddress = process.platform === 'darwin' ? '__error' : '__errno_location';

const libc = dlopen(process.platform === 'darwin' ? 'libSystem.dylib' : 'libc.so.6', {
  mmap: { args: ['ptr', 'usize', 'i32', 'i32', 'i32', 'i64'], returns: 'i64' },
  munmap: { args: ['ptr', 'usize'], returns: 'i32' },
  madvise: { args: ['ptr', 'usize', 'i32'], returns: 'i32' },
  memcpy: { args: ['ptr', 'ptr', 'usize'], returns: 'ptr' },
  flock: { args: ['i32', 'i32'], returns: 'i32' },
  [errnoAddress]: { args: [], returns: 'ptr' },
  posix_fallocate: { args: ['i32', 'i64', 'i64'], returns: 'i32' },
}).symbols;

const protRead = 1;
const protWrite = 2;
const mapShared = 1;
const mapPrivate = 2;
const mapAnonymous = process.platform === 'darwin' ? 0x1000 : 0x20;
const mapNoReserve = process.platform === 'darwin' ? 0x40 : 0x4000;
const mapPopulate = process.platform === 'linux' ? 0x8000 : 0;
const madviseNoHugePage = 15; // Linux
const madviseDontNeed = 4;
const pageBytes = 4096;
const lockExclusive = 2;
const lockNonBlocking = 4;
const interrupted = 4; // EINTR

export type Mapping = { readonly address: number; readonly bytes: number };

/** The cast FFI wants: our addresses are numbers, its pointers are branded numbers. */
export function pointer(address: number): Pointer {
  return address as Pointer;
}

/** Zeroed private memory; pages cost nothing until touched. */
export function mapAnonymousMemory(bytes: number): Mapping {
  const address = map(bytes, protRead | protWrite, mapPrivate | mapAnonymous | mapNoReserve, -1);
  if (address < 0) throw new Fault('config', `could not map ${bytes} bytes of memory`);
  // With huge pages one touched row would take 2 MiB: stated memory limits would mean nothing.
  if (process.platform === 'linux') libc.madvise(pointer(address), bytes, madviseNoHugePage);
  return { address, bytes };
}

/** A file's first `bytes` bytes, shared with every process that maps it. */
export function mapSharedFile(fd: number, bytes: number, access: 'read' | 'write'): Mapping {
  const protection = access === 'write' ? protRead | protWrite : protRead;
  const address = map(bytes, protection, mapShared | (access === 'write' ? mapPopulate : 0), fd);
  if (address < 0) throw new Fault('transfer', `could not map ${bytes} bytes of shared memory`);
  return { address, bytes };
}

function map(bytes: number, protection: number, flags: number, fd: number): number {
  return Number(libc.mmap(null, bytes, protection, flags, fd, 0));
}

export function unmap(mapping: Mapping): void {
  libc.munmap(pointer(mapping.address), mapping.bytes);
}

/**
 * Gives the whole pages within `bytes` bytes at `address` back to the system. Private memory reads as
 * zeros afterwards, a mapped file as the file. What shares a page with a neighbour stays.
 */
export function discard(address: number, bytes: number): void {
  const begin = Math.ceil(address / pageBytes) * pageBytes;
  const end = Math.floor((address + bytes) / pageBytes) * pageBytes;
  if (end > begin) libc.madvise(pointer(begin), end - begin, madviseDontNeed);
}

export function copyMemory(to: number, from: number, bytes: number): void {
  libc.memcpy(pointer(to), pointer(from), bytes);
}

/** Where the bytes lie. Valid while the caller holds the buffer, which must not be resized. */
export function addressOf(bytes: Uint8Array<ArrayBuffer>): number {
  return ptr(bytes);
}

/** A view of `bytes` bytes at `address`; valid while the mapping lives, which the caller ensures. */
export function viewBytes(address: number, bytes: number): Uint8Array {
  return new Uint8Array(toArrayBuffer(pointer(address), 0, bytes));
}

export function viewFloats(address: number, count: number): Float32Array {
  return new Float32Array(toArrayBuffer(pointer(address), 0, count * 4));
}

export function viewInts(address: number, count: number): Int32Array {
  return new Int32Array(toArrayBuffer(pointer(address), 0, count * 4));
}

/** Takes all of the file's space now, so that a full /dev/shm is an error here and not SIGBUS later. */
export function allocateFile(fd: number, bytes: number): boolean {
  for (;;) {
    // A signal (the JavaScript engine sends its threads some) ends the call early: not a full disk.
    const failure = libc.posix_fallocate(fd, 0, bytes);
    if (failure !== interrupted) return failure === 0;
  }
}

/**
 * Marks an open file as in use by this process until `fd` closes or the process dies. Where another
 * holds it: waits, or with `try` returns false.
 */
export function lockFile(fd: number, how: 'wait' | 'try'): boolean {
  const operation = how === 'wait' ? lockExclusive : lockExclusive | lockNonBlocking;
  for (;;) {
    if (libc.flock(fd, operation) === 0) return true;
    // A signal ends the wait, and with it this call only: the lock is still wanted.
    if (errno() !== interrupted) return false;
  }
}

/** Of the last call that failed; to be asked right after it. */
function errno(): number {
  const address = libc[errnoAddress]?.() ?? null;
  return address === null ? 0 : read.i32(address);
}

/**
 * Removes the file unless a living process holds `lockFile` on it; true when it was removed. The lock
 * is ours from the look to the removal, so of two removers and a new owner only one can have it.
 */
export function removeUnlockedFile(path: string): boolean {
  let fd: number;
  try {
    // What others may have put there is neither followed (a link) nor waited for (a pipe).
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return false; // gone already, or another user's: not ours to remove
  }
  try {
    if (!lockFile(fd, 'try') || !isFileAt(path, fd)) return false;
    unlinkSync(path);
    return true;
  } catch {
    return false; // not a file of ours after all
  } finally {
    closeSync(fd);
  }
}

/** Whether `path` still leads to the open file `fd`. */
export function isFileAt(path: string, fd: number): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found !== undefined && found.ino === fstatSync(fd).ino;
}
