// Three services of the operating system that Bun does not offer, by FFI on libc (Linux): die when
// the parent dies, leave the terminal's process group, and become another program. Elsewhere, and
// where libc cannot be opened, each says that it could not, and the caller does without.

import { dlopen, type FFIFunction, ptr } from 'bun:ffi';
import { constants } from 'node:os';

const prSetPdeathsig = 1; // <linux/prctl.h>

const functions = {
  prctl: { args: ['i32', 'u64', 'u64', 'u64', 'u64'], returns: 'i32' },
  getppid: { args: [], returns: 'i32' },
  setsid: { args: [], returns: 'i32' },
  execv: { args: ['ptr', 'ptr'], returns: 'i32' },
} as const satisfies Record<string, FFIFunction>;

function openLibc() {
  if (process.platform !== 'linux') return null;
  const musl = process.arch === 'arm64' ? 'libc.musl-aarch64.so.1' : 'libc.musl-x86_64.so.1';
  for (const name of ['libc.so.6', musl]) {
    try {
      return dlopen(name, functions).symbols;
    } catch {
      // not this C library: the other one
    }
  }
  return null;
}

let libc: ReturnType<typeof openLibc> | undefined;
function c(): ReturnType<typeof openLibc> {
  libc ??= openLibc();
  return libc;
}

/**
 * Asks the kernel to send this process `signal` when its parent ends, however that happens. Survives
 * `becomeProgram`. `parentPid` is who must still be the parent: if it has died before the kernel knew
 * of our wish, this process ends here. False where the system cannot do it.
 */
export function dieWithParent(signal: 'SIGTERM' | 'SIGKILL', parentPid: number): boolean {
  const symbols = c();
  if (symbols === null) return false;
  if (symbols.prctl(prSetPdeathsig, constants.signals[signal], 0, 0, 0) !== 0) return false;
  if (symbols.getppid() !== parentPid) process.exit(1);
  return true;
}

/** A session of its own: Ctrl-C in the terminal reaches the parent alone, which then decides. */
export function leaveTerminal(): boolean {
  const symbols = c();
  return symbols !== null && symbols.setsid() >= 0;
}

/**
 * Replaces this process by `program`, keeping its process id; does not return. `args` are without
 * the program's name. Returns false where it could not be done; the caller may spawn instead.
 */
export function becomeProgram(program: string, args: readonly string[]): false {
  const symbols = c();
  if (symbols === null) return false;
  const texts = [program, ...args].map((text) => Buffer.from(`${text}\0`, 'utf8'));
  const argv = new BigUint64Array(texts.length + 1); // char *argv[], last one null
  for (const [index, text] of texts.entries()) argv[index] = BigInt(ptr(text));
  const path = texts[0];
  if (path !== undefined) symbols.execv(ptr(path), ptr(argv));
  return false;
}
