// The one door of this repository for a machine that has only git, Node and npm:
//   npm start | test | build | demo | bench:engine | bench:kv | bench:gateway | bench:faults | bench:soak | setup
// (package.json calls this file.)
// Sets up what is missing, step by step, one line each with its time, and then does what was asked.
// Plain Node without dependencies, since nothing else may be there yet.

import { findNatsServer, natsMend } from './setup/nats.mjs';
import { bunPath, checkNode, installPackages } from './setup/packages.mjs';
import { serve } from './setup/serve.mjs';
import { runStages } from './setup/stages.mjs';
import { Problem, root, run } from './setup/step.mjs';
import { findSoftwareVulkan } from './setup/vulkan.mjs';

const commands = {
  setup: async () => built(prepare({ natsNeeded: false })),
  build: async () => built(prepare({ natsNeeded: false })),
  start: async (args) => {
    built(prepare({ natsNeeded: true }));
    return await serve('./tdist', ['--role', 'all', ...args]);
  },
  demo: async (args) => {
    built(prepare({ natsNeeded: true }));
    return await serve('./tdist', ['demo', ...args]);
  },
  'bench:engine': async (args) => {
    built(prepare({ natsNeeded: true }));
    return await serve('./tdist', ['bench', 'engine', ...args]);
  },
  'bench:kv': async (args) => {
    built(prepare({ natsNeeded: true }));
    return await serve('./tdist', ['bench', 'kv', ...args]);
  },
  'bench:gateway': async (args) => {
    built(prepare({ natsNeeded: true }));
    return await serve('./tdist', ['bench', 'gateway', ...args]);
  },
  'bench:faults': async (args) => {
    built(prepare({ natsNeeded: true }));
    return await serve('./tdist', ['bench', 'faults', ...args]);
  },
  'bench:soak': async (args) => {
    built(prepare({ natsNeeded: true }));
    return await serve('./tdist', ['bench', 'soak', ...args]);
  },
  test: async (args) => {
    const bun = prepare({ natsNeeded: true });
    if (!findSoftwareVulkan()) console.log('setup: no Vulkan driver: tests of WebGPU are skipped');
    return await runStages(bun, args);
  },
};

/** Packages, Bun and nats-server, each only if missing or out of date. Answers with Bun's path. */
function prepare({ natsNeeded }) {
  checkNode();
  installPackages();
  const bun = bunPath();
  const nats = findNatsServer();
  if (nats === null && natsNeeded) throw new Problem(natsMend);
  if (nats === null) console.log(`setup: going on without nats-server: ${natsMend}`);
  else process.env.TDIST_NATS_SERVER = nats;
  return bun;
}

/** Builds ./tdist unless nothing has changed; build.ts says which. */
function built(bun) {
  run(bun, ['build.ts'], { show: true, failure: 'the build of ./tdist failed' });
  return 0;
}

process.chdir(root);
const [name = '', ...args] = process.argv.slice(2);
try {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    throw new Problem(`usage: npm start | test | run ${Object.keys(commands).join(' | run ')}`);
  }
  process.exitCode = await command(args);
} catch (thrown) {
  if (!(thrown instanceof Problem)) throw thrown;
  console.error(`setup: ${thrown.message}`);
  process.exitCode = 1;
}
