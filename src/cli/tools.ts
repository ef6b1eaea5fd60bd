// The tools beside the roles: name, help line, and what runs. Loaded only when called.

import { type Output, processOutput } from './output.ts';
import type { Env } from './parse.ts';
import { versionLine } from './version.ts';

type Tool = {
  readonly help: string;
  readonly run: (argv: readonly string[], output: Output, env: Env) => Promise<number>;
};

export const tools: ReadonlyMap<string, Tool> = new Map<string, Tool>([
  [
    'demo',
    {
      help: 'start everything on free ports, ask one question, show where the time went',
      run: async (argv) => (await import('../bench/demo.ts')).runDemo(argv),
    },
  ],
  [
    'verify',
    {
      help: 'prove disaggregated and aggregated answers identical, token by token',
      run: async (argv, output) =>
        (await import('../bench/verify/verify.ts')).runVerify(argv, (line) => output.out(line)),
    },
  ],
  [
    'bench',
    {
      help: 'measure what a request costs; bench engine: steps, long prompts; bench kv: transfers',
      run: async (argv, output) => {
        const [first, ...rest] = argv;
        const print = (line: string) => output.out(line);
        if (first === 'engine') {
          return await (await import('../bench/engine/bench.ts')).runEngineBench(rest, print);
        }
        if (first === 'kv')
          return await (await import('../bench/kv/bench.ts')).runKvBench(rest, print);
        return await (await import('../bench/bench.ts')).runBench(argv);
      },
    },
  ],
  [
    'workers',
    {
      help: 'list workers, drain one, or let it take work again',
      run: async (argv, output, env) =>
        (await import('./workers.ts')).runWorkers(argv, output, env),
    },
  ],
  [
    'version',
    {
      help: 'print version and build',
      run: async (_argv, output = processOutput) => {
        output.out(versionLine);
        return 0;
      },
    },
  ],
]);

export const toolHelp: ReadonlyMap<string, string> = new Map(
  [...tools].map(([name, tool]) => [name, tool.help]),
);
