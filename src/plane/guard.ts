// A foreign program (nats-server) must not outlive us, even after kill -9. So it is started through
// our own executable: `tdist __guard <parent pid> <program> <args…>` asks the kernel to be killed
// with its parent, leaves the terminal's group, and then becomes the program: same process id, no
// process in between.

import { join } from 'node:path';
import { becomeProgram, dieWithParent, leaveTerminal } from '../std/native.ts';

export const guardWord = '__guard';

/**
 * How to start this very program again: the executable alone, or Bun with our entry. Not with
 * whatever script Bun runs now: a script that starts a server would start itself, and so on for ever.
 */
export function selfCommand(): readonly string[] {
  const compiled = Bun.main.startsWith('/$bunfs/') || Bun.main.startsWith('B:\\~BUN');
  return compiled ? [process.execPath] : [process.execPath, join(import.meta.dir, '../main.ts')];
}

/** The command that runs `program` so that it dies with this process (Linux; else just runs it). */
export function guardCommand(
  program: string,
  args: readonly string[],
  self: readonly string[] = selfCommand(),
): string[] {
  if (process.platform !== 'linux') return [program, ...args];
  return [...self, guardWord, String(process.pid), program, ...args];
}

/** What `main` does when its first argument is `guardWord`; `argv` is what follows that word. */
export function runGuard(argv: readonly string[]): never {
  const [parent, program, ...args] = argv;
  const parentPid = Number(parent);
  if (program === undefined || !Number.isSafeInteger(parentPid)) {
    process.stderr.write(`${guardWord} is for internal use: PARENT_PID PROGRAM ARGS…\n`);
    process.exit(2);
  }
  leaveTerminal();
  dieWithParent('SIGKILL', parentPid);
  becomeProgram(program, args);
  process.stderr.write(`cannot execute ${program}\n`);
  process.exit(126);
}
