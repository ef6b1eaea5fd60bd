// The process's log: stdout, or with --log-dir a file of its own, `<name>-<pid>.log`. Then a person at
// the terminal still sees the few lines that matter: where it listens, on stdout, and errors, on stderr.

import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../std/fault.ts';
import {
  createLog,
  fileSink,
  type Log,
  type LogSink,
  stderrSink,
  stdoutSink,
} from '../telemetry/log.ts';
import { processName, type RoleConfig } from './config.ts';

const terminal = { errors: stderrSink, said: stdoutSink };

/** Faults with code `usage` when the folder cannot be made or written to. */
export function openLog(config: RoleConfig, pid: number, console = terminal): Log {
  const name = processName(config);
  const { logDir, logLevel: level } = config;
  if (logDir === null) return createLog({ level, sink: stdoutSink, name });
  return createLog({ level, sink: openFile(logDir, `${name}-${pid}.log`), console, name });
}

function openFile(logDir: string, fileName: string): LogSink {
  try {
    mkdirSync(logDir, { recursive: true });
    const path = join(logDir, fileName);
    closeSync(openSync(path, 'a'));
    return fileSink(path);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'error';
    throw new Fault(
      'usage',
      `--log-dir ${JSON.stringify(logDir)} cannot be written to (${code}); give a folder you own`,
      { cause },
    );
  }
}
