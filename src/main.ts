// The executable's entry: words in, exit code out.

import { drained, failureText } from './cli/output.ts';
import { run, wantsStack } from './cli/run.ts';
import { guardWord, runGuard } from './plane/guard.ts';

// A reader that went away (`tdist --help | head -1`) is no failure of ours.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

const argv = process.argv.slice(2);
if (argv[0] === guardWord) runGuard(argv.slice(1)); // becomes another program

const die = (thrown: unknown): never => {
  process.stderr.write(`${failureText(thrown, wantsStack(argv, process.env))}\n`);
  process.exit(1);
};
process.on('uncaughtException', die);
process.on('unhandledRejection', die);

const code = await run(argv, process.env);
await drained();
process.exit(code);
