// The process's log: stdout, or with --log-dir a file of its own, `<name>-<pid>.log`.

import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../std/fault.ts';
import { createLog, fileSink, type Log, type LogSink, stdoutSink } from '../telemetry/log.ts';
import { processName, type RoleConfig } from './config.ts';

/** Faults with code `usage` when the folder cannot be made or written to. */
export function openLog(config: RoleConfig, pid: number): Log {
  const name = processName(config);
  return createLog({
    level: config.logLevel,
    sink: sinkOf(config.logDir, `${name}-${pid}.log`),
    name,
  });
}

function sinkOf(logDir: string | null, fileName: string): LogSink {
  if (logDir === null) return stdoutSink;
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
