// The tools beside the roles: name, help line, and what runs. Loaded only when called.

import { Fault } from '../std/fault.ts';
import type { WorkerSettings } from './config.ts';
import { deploymentFlags, deploymentWorker } from './deployment-flags.ts';
import { type Output, processOutput } from './output.ts';
import type { Env } from './parse.ts';
import { versionLine } from './version.ts';

type Tool = {
  readonly help: string;
  readonly run: (argv: readonly string[], output: Output, env: Env) => Promise<number>;
};

/** Of `verify`, besides those of the deployment that it starts. */
const verifyFlags = ['api-url', 'model', 'against'];

export const tools: ReadonlyMap<string, Tool> = new Map<string, Tool>([
  [
    'demo',
    {
      help: 'start everything on free ports, ask one question, show where the time went',
      run: async (argv, _output, env) => {
        const flags = deploymentFlags('demo', argv, env);
        return await (await import('../bench/demo.ts')).runDemo(flags);
      },
    },
  ],
  [
    'verify',
    {
      help: 'prove disaggregated and aggregated answers identical, token by token',
      run: async (argv, output, env) => {
        const flags = deploymentFlags('verify', argv, env, verifyFlags);
        const print = (line: string) => output.out(line);
        if (flags.some((word) => /^--against(=|$)/.test(word))) {
          const settings = qualitySettings(flags, env);
          return await (await import('../bench/verify/quality.ts')).runQuality(settings, print);
        }
        const { runVerify } = await import('../bench/verify/verify.ts');
        return await runVerify(flags, print);
      },
    },
  ],
  [
    'bench',
    {
      help: 'measure requests, or: engine, kv, gateway, device, faults, soak; model: random weights',
      run: async (argv, output, env) => {
        const [first, ...rest] = argv;
        const print = (line: string) => output.out(line);
        if (first === 'engine') {
          return await (await import('../bench/engine/bench.ts')).runEngineBench(rest, print);
        }
        if (first === 'kv') {
          return await (await import('../bench/kv/bench.ts')).runKvBench(rest, print);
        }
        if (first === 'gateway') {
          return await (await import('../bench/gateway/bench.ts')).runGatewayBench(rest, print);
        }
        if (first === 'faults') {
          return await (await import('../bench/faults/bench.ts')).runFaultBench(rest, print);
        }
        if (first === 'soak') {
          return await (await import('../bench/soak/bench.ts')).runSoakBench(rest, print);
        }
        if (first === 'device') {
          const settings = deploymentWorker('bench device', rest, env, []);
          return await (await import('../bench/device/bench.ts')).runDeviceBench(settings, print);
        }
        if (first === 'model') {
          return await (await import('../bench/model-folder.ts')).runModelFolder(rest, print);
        }
        const flags = deploymentFlags('bench', argv, env);
        return await (await import('../bench/bench.ts')).runBench(flags);
      },
    },
  ],
  [
    'pull',
    {
      help: 'download a model from the Hugging Face Hub into the cache',
      run: async (argv, output, env) => (await import('./pull.ts')).runPull(argv, output, env),
    },
  ],
  [
    'doctor',
    {
      help: 'check what a deployment needs, and say what is missing with its mend',
      run: async (argv, output, env) => (await import('./doctor.ts')).runDoctor(argv, output, env),
    },
  ],
  [
    'sim',
    {
      help: 'run the whole cluster on simulated time, with faults, from seeds',
      run: async (argv, output) =>
        (await import('../sim/sim.ts')).runSim(argv, (line) => output.out(line)),
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

/** Of `verify --against float32`. */
function qualitySettings(words: readonly string[], env: Env): WorkerSettings {
  const joined = words.join(' ');
  const against = /(?:^| )--against[= ](\S*)/.exec(joined)?.[1] ?? '';
  if (against !== 'float32') {
    throw new Fault('usage', `verify --against ${against || 'nothing'}: wanted float32`);
  }
  const foreign = words.find((word) => /^--(api-url|model)(=|$)/.test(word));
  if (foreign !== undefined) {
    throw new Fault(
      'usage',
      `verify --against runs the model itself: give --model-name instead of ${foreign.split('=')[0]}`,
    );
  }
  return deploymentWorker('verify', words, env, verifyFlags);
}
