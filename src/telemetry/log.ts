// Log lines: one event with fields, on stdout or in a file, control characters escaped so that no
// input can forge a line. Debug 2, info 1, error 0, as the flag `--log-level` counts.

import { appendFileSync } from 'node:fs';

export type Fields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export type Log = {
  error(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  /** Like `info`, of the few things that a person at the terminal waits for: where it listens. */
  say(message: string, fields?: Fields): void;
  debug(message: string, fields?: Fields): void;
  /** The same log with a name in front: `context-0`, `api`. */
  named(name: string): Log;
};

export type LogLevel = 0 | 1 | 2;

/** Where finished lines go, without their line end. */
export type LogSink = (line: string) => void;

export const stdoutSink: LogSink = (line) => {
  process.stdout.write(`${line}\n`);
};

export const stderrSink: LogSink = (line) => {
  process.stderr.write(`${line}\n`);
};

export function fileSink(path: string): LogSink {
  return (line) => appendFileSync(path, `${line}\n`);
}

export const silentLog: Log = createLog({ level: 0, sink: () => undefined, name: '' });

export function createLog(options: {
  readonly level: LogLevel;
  readonly sink: LogSink;
  /** Where errors, and what is said, go besides. */
  readonly console?: { readonly errors: LogSink; readonly said: LogSink };
  readonly name: string;
  readonly now?: () => Date;
}): Log {
  const { level, sink, console, name, now = () => new Date() } = options;
  const write = (
    at: LogLevel,
    label: string,
    message: string,
    fields: Fields = {},
    more?: LogSink,
  ): void => {
    if (at > level) return;
    const time = now().toISOString().slice(11, 23);
    const tail = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => ` ${key}=${fieldText(value)}`)
      .join('');
    const line = `${time} ${label} ${name === '' ? '' : `[${name}] `}${escapeControl(message)}${tail}`;
    sink(line);
    more?.(line);
  };
  return {
    error: (message, fields) => write(0, 'ERROR', message, fields, console?.errors),
    warn: (message, fields) => write(1, 'WARN ', message, fields),
    info: (message, fields) => write(1, 'INFO ', message, fields),
    say: (message, fields) => write(1, 'INFO ', message, fields, console?.said),
    debug: (message, fields) => write(2, 'DEBUG', message, fields),
    named: (child) => createLog({ ...options, name: child }),
  };
}

function fieldText(value: Fields[string]): string {
  const text = String(value);
  return /[\s"=]/.test(text) ? escapeControl(JSON.stringify(text)) : escapeControl(text);
}

function escapeControl(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what we escape
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
