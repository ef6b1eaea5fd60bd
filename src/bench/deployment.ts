// A whole deployment on free ports for demo and benchmark: this very program with `--role all`,
// started, waited for, measured and stopped.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { selfCommand } from '../plane/guard.ts';
import { freePort } from '../role/free-port.ts';
import { supervisedEnv } from '../role/parent.ts';
import { Fault } from '../std/fault.ts';

export type Deployment = {
  readonly url: string;
  /** From the start of the first process until a request could be served. */
  readonly readyMs: number;
  /** Resident memory of the process whose command line contains `--role=<role>`, bytes. */
  residentBytes(role: string): number;
  stop(): Promise<void>;
};

/**
 * @param options.flags further flags for `--role all`.
 * @param options.freshCache start as on a machine where tdist never ran.
 */
export async function startDeployment(options: {
  flags: readonly string[];
  freshCache?: boolean;
}): Promise<Deployment> {
  if (process.argv.includes('--role=all')) {
    // A script of its own that calls this is what `selfCommand` starts again, and so on for ever.
    throw new Fault(
      'usage',
      'a deployment starts src/main.ts or ./tdist anew: run this from there',
    );
  }
  const host = '127.0.0.1';
  const url = `http://${host}:${await freePort(host)}`;
  const logDir = mkdtempSync(join(tmpdir(), 'tdist-bench-'));
  const cache = options.freshCache === true ? { XDG_CACHE_HOME: join(logDir, 'cache') } : {};
  const beganMs = performance.now();
  const child = Bun.spawn(
    [
      ...selfCommand(),
      '--role=all',
      `--request-plane-uri=nats://${host}:0`,
      `--api-server-port=${new URL(url).port}`,
      `--log-dir=${logDir}`,
      ...options.flags,
    ],
    {
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'inherit',
      env: supervisedEnv({ ...definedEnv(), ...cache }),
    },
  );
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await child.exited;
    rmSync(logDir, { recursive: true, force: true });
  };
  try {
    await readyLine(child, logDir);
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  const readyMs = performance.now() - beganMs;
  return { url, readyMs, residentBytes: (role) => residentBytes(child.pid, role), stop };
}

/** Without the files for a NATS of the user's own: a deployment for measuring starts its own. */
function definedEnv(): Record<string, string> {
  const pairs = Object.entries(process.env).flatMap(([name, value]) =>
    value === undefined || /^TDIST_NATS_\w+_FILE$/.test(name) ? [] : [[name, value] as const],
  );
  return Object.fromEntries(pairs);
}

/** The supervisor's line `Ready:` in its log file, or its end before. */
async function readyLine(child: Bun.Subprocess, logDir: string): Promise<void> {
  const path = join(logDir, `all-${child.pid}.log`);
  const ended = child.exited.then((code) => {
    throw new Fault('config', `the deployment ended with exit code ${code}; see its lines above`);
  });
  const ready = async (): Promise<void> => {
    while (!(await Bun.file(path).exists()) || !readFileSync(path, 'utf8').includes('Ready: ')) {
      await Promise.race([Bun.sleep(5), ended]);
    }
  };
  await Promise.race([ready(), ended]);
}

function residentBytes(supervisor: number, role: string): number {
  const children = readFileSync(`/proc/${supervisor}/task/${supervisor}/children`, 'utf8')
    .trim()
    .split(/\s+/);
  for (const pid of children) {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    if (!command.includes(`--role=${role}`)) continue;
    const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Number(line?.[1] ?? Number.NaN) * 1024;
  }
  return Number.NaN;
}
