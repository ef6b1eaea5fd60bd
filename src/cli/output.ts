// What the command line itself prints, as opposed to the log: help, versions, one-line errors.

import { Fault } from '../std/fault.ts';

export type Output = {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
};

export const processOutput: Output = {
  out: (text) => process.stdout.write(`${text}\n`),
  err: (text) => process.stderr.write(`${text}\n`),
};

/** Resolves when everything written has left: process.exit would cut a full pipe short. */
export async function drained(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => stream.write('', () => resolve()));
  }
}

/** Any failure as one line `tdist: …`; below it the stack, where asked for. */
export function failureText(thrown: unknown, withStack: boolean): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const line = `tdist: ${message.trim().replaceAll(/\s*[\r\n]+\s*/g, '; ')}`;
  const stack = thrown instanceof Error ? thrown.stack : undefined;
  return withStack && stack !== undefined ? `${line}\n${stack}` : line;
}

export function exitCodeOf(thrown: unknown): 1 | 2 {
  return thrown instanceof Fault && thrown.code === 'usage' ? 2 : 1;
}
