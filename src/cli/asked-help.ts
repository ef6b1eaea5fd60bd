// `--help` of a tool, wherever it stands among the words: then it is all that is done.

import type { Output } from './output.ts';

export function asksHelp(argv: readonly string[]): boolean {
  return argv.includes('--help') || argv.includes('-h');
}

/** Whether it was asked for; if so it is printed. */
export function printedHelp(argv: readonly string[], help: string, output: Output): boolean {
  const asked = asksHelp(argv);
  if (asked) output.out(help);
  return asked;
}
