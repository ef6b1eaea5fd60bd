// A child of `--role all` (or of a worker count above 1) must not outlive its supervisor. The
// supervisor names itself in the environment; the child asks the kernel for a SIGTERM at its death and
// leaves the terminal's group, so that Ctrl-C reaches the supervisor alone, which stops in order.

import { dieWithParent, leaveTerminal } from '../std/native.ts';

const variable = 'TDIST_SUPERVISOR_PID';

export function supervisedEnv(env: Readonly<Record<string, string>>): Record<string, string> {
  return { ...env, [variable]: String(process.pid) };
}

/** Call it first in a role. */
export function bindToSupervisor(): void {
  const pid = Number(process.env[variable] ?? Number.NaN);
  if (!Number.isSafeInteger(pid) || pid < 2) return;
  leaveTerminal();
  dieWithParent('SIGTERM', pid);
}

export function isSupervised(): boolean {
  return process.env[variable] !== undefined;
}

/** True when there was a supervisor and it is gone: nobody is left to finish work for. */
export function isOrphan(): boolean {
  const named = process.env[variable];
  return named !== undefined && process.ppid !== Number(named);
}
