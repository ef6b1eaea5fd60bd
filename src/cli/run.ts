// One command line from words to exit code: a tool, or a role with its configuration and log. Every
// failure ends here as one line on stderr; 2 means the command line was wrong, 1 that the world was.

import { readKeyFile, readTls } from '../api/gateway-files.ts';
import { readNatsFiles } from '../plane/nats-files.ts';
import { Fault, unreachable } from '../std/fault.ts';
import { childEnv, childFlags, childSecrets } from './child.ts';
import { configText, type RoleConfig } from './config.ts';
import { configure, roleOf } from './configure.ts';
import { helpText } from './help.ts';
import { hubOf } from './hub-env.ts';
import { openLog } from './log-file.ts';
import { exitCodeOf, failureText, type Output, processOutput } from './output.ts';
import { type Env, parseFlags } from './parse.ts';
import type { RoleIo } from './role-io.ts';
import { hintFor } from './suggest.ts';
import { toolHelp, tools } from './tools.ts';
import { build, version, versionLine } from './version.ts';

/** The exit code. Never throws. */
export async function run(
  argv: readonly string[],
  env: Env,
  output: Output = processOutput,
): Promise<number> {
  try {
    const [first, ...rest] = argv;
    if (first === undefined || first.startsWith('-')) return await runRole(argv, env, output);
    return await runTool(first, rest, output, env);
  } catch (thrown) {
    output.err(failureText(thrown, wantsStack(argv, env)));
    return exitCodeOf(thrown);
  }
}

async function runTool(
  name: string,
  argv: readonly string[],
  output: Output,
  env: Env,
): Promise<number> {
  const tool = tools.get(name);
  if (tool !== undefined) return tool.run(argv, output, env);
  if (name === 'help') {
    const [topic = ''] = argv;
    const asked = tools.get(topic);
    if (asked !== undefined) return asked.run(['--help'], output, env);
    output.out(helpText(toolHelp, null));
    return 0;
  }
  const otherwise = 'tdist --help lists them, and a deployment begins with tdist --role all';
  const hint = hintFor(name, [...tools.keys()], otherwise);
  throw new Fault('usage', `unknown tool ${name}; ${hint}`);
}

async function runRole(argv: readonly string[], env: Env, output: Output): Promise<number> {
  const parsed = parseFlags(argv, env);
  const role = roleOf(parsed.values);
  if (parsed.values.help) {
    output.out(helpText(toolHelp, role));
    return 0;
  }
  if (parsed.values.version) {
    output.out(versionLine);
    return 0;
  }
  if (role === null) {
    output.err(helpText(toolHelp, null));
    if (argv.length > 0) output.err('\ntdist: no role given; begin with --role all');
    return 2;
  }
  const { config, warnings } = configure(parsed, role, env);
  if (parsed.values['dump-config']) {
    for (const warning of warnings) output.err(`tdist: ${warning}`);
    output.out(configText(config));
    return 0;
  }
  readNatsFiles(config.natsFiles); // a wrong one ends the start; each connection reads them anew
  readGatewayFiles(config);
  const log = openLog(config, process.pid);
  for (const warning of warnings) log.warn(warning);
  return await startRole(config, {
    log,
    version,
    build,
    childFlags: (child) => childFlags(parsed, child),
    childSecrets: (child) => childSecrets(parsed, child),
    hub: () => hubOf(env),
    childEnv: childEnv(env),
  });
}

/** Likewise; said by `--role all` itself, not by its gateway. */
function readGatewayFiles(config: RoleConfig): void {
  if (config.role === 'worker') return;
  const { apiKeyFile, tls } = config.role === 'all' ? config.api : config;
  if (apiKeyFile !== null) readKeyFile(apiKeyFile);
  if (tls !== null) readTls(tls);
}

/** Loads the role's own code alone: a gateway never touches the engine's. */
async function startRole(config: RoleConfig, io: RoleIo): Promise<number> {
  switch (config.role) {
    case 'api':
      return (await import('../role/api.ts')).runApi(config, io);
    case 'worker':
      return (await import('../role/worker.ts')).runWorker(config, io);
    case 'all':
      return (await import('../role/all.ts')).runAll(config, io);
    default:
      return unreachable(config);
  }
}

/** Asked of the words themselves, since what failed may be their parsing. */
export function wantsStack(argv: readonly string[], env: Env): boolean {
  const level = /--log-level[= ](2|debug)( |$)/.test(argv.join(' '));
  return level || ['2', 'debug'].includes(env['TDIST_LOG_LEVEL'] ?? '');
}
