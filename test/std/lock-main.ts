// Waits for the lock on a file while signals interrupt the wait, and prints whether it got it. Bun has
// system calls go on after a signal; here they end, as they do where a signal's handler is not Bun's.

import { dlopen } from 'bun:ffi';
import { openSync } from 'node:fs';
import { constants } from 'node:os';
import { lockFile } from '../../src/std/memory.ts';

process.on('SIGUSR2', () => undefined);
const libc = dlopen('libc.so.6', { siginterrupt: { args: ['i32', 'i32'], returns: 'i32' } });
libc.symbols.siginterrupt(constants.signals.SIGUSR2, 1);
const fd = openSync(process.argv[2] ?? '', 'r');
console.log('waiting');
console.log(lockFile(fd, 'wait'));
