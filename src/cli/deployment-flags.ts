// The flags of a tool that starts a deployment of its own, looked at before it does: what is wrong with
// them is one line of the tool's, and not one of a child's with another about its end.

import { assert, Fault } from '../std/fault.ts';
import { asksHelp } from './asked-help.ts';
import type { AllConfig, WorkerSettings } from './config.ts';
import { configure } from './configure.ts';
import { type Env, parseFlags } from './parse.ts';

/** As the deployments of tools are started: on ports that are free. */
const started = ['--role=all', '--api-server-port=0', '--request-plane-uri=nats://127.0.0.1:0'];

/**
 * The words as they came, or `--help` alone where that is among them. Faults with code `usage`.
 * @param own names of flags with a value that are the tool's, not the deployment's.
 */
export function deploymentFlags(
  tool: string,
  argv: readonly string[],
  env: Env,
  own: readonly string[] = [],
): readonly string[] {
  if (asksHelp(argv)) return ['--help'];
  check(tool, argv, env, own);
  return argv;
}

/** What such flags say of the workers, for a tool that is none of them and runs their model itself. */
export function deploymentWorker(
  tool: string,
  argv: readonly string[],
  env: Env,
  own: readonly string[],
): WorkerSettings {
  return check(tool, argv, env, own).worker;
}

function check(tool: string, argv: readonly string[], env: Env, own: readonly string[]): AllConfig {
  const parsed = parseFlags([...started, ...without(argv, own)], env, own);
  const { role, version, 'dump-config': dump } = parsed.values;
  if (role !== 'all') throw new Fault('usage', `${tool} starts --role all, not --role ${role}`);
  if (version || dump) {
    const flag = version ? '--version' : '--dump-config';
    throw new Fault('usage', `${flag} starts nothing: give it without ${tool}`);
  }
  for (const name of ['api-key-file', 'tls-cert', 'tls-key'] as const) {
    if (!parsed.given.has(name)) continue;
    throw new Fault(
      'usage',
      `${tool} asks over HTTP with the key of TDIST_API_KEY: leave --${name} away`,
    );
  }
  if (argv.some((word) => /^--api-key(=|$)/.test(word))) {
    throw new Fault(
      'usage',
      `${tool} takes its key from the environment: set TDIST_API_KEY instead`,
    );
  }
  const { config } = configure(parsed, 'all', env);
  assert(config.role === 'all', `configured as ${config.role}`);
  return config;
}

function without(argv: readonly string[], own: readonly string[]): readonly string[] {
  const rest: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? '';
    const isOwn = own.some((name) => word === `--${name}` || word.startsWith(`--${name}=`));
    if (!isOwn) rest.push(word);
    else if (!word.includes('=')) at++; // its value
  }
  return rest;
}
