// Lines of warning that a start begins with, about what was surely not meant: variables that look like
// ours and are not, a gateway open to the network. Pure. A supervisor has said them for its children.

import { isLoopback } from '../plane/local-token.ts';
import type { RoleConfig } from './config.ts';
import { envTwin, flagNames } from './flags.ts';
import type { Env } from './parse.ts';
import { hintFor } from './suggest.ts';

const twins = flagNames.flatMap((name) => envTwin(name) ?? []);

/** Ours beside the twins of flags: of roles, tools, deploy scripts and tests. */
const others: ReadonlySet<string> = new Set([
  'TDIST_API_URL',
  'TDIST_BENCH_MARK',
  'TDIST_NATS_SERVER',
  'TDIST_RUN_DIR',
  'TDIST_SUPERVISOR_PID',
  'TDIST_VERSION', // images tell theirs so
  'TDIST_WORKER_ID',
  'TDIST_WRITE_TRANSCRIPTS',
]);

export function cautionsOf(config: RoleConfig, env: Env): readonly string[] {
  if (env['TDIST_SUPERVISOR_PID'] !== undefined) return [];
  return [...strangeVariables(env), ...openGateway(config)];
}

function strangeVariables(env: Env): readonly string[] {
  return Object.entries(env).flatMap(([name, value]) => {
    if (!name.startsWith('TDIST_') || value === undefined || value === '') return [];
    if (twins.includes(name) || others.has(name) || isOfKubernetes(name, value)) return [];
    return [`${name} is no variable of tdist and does nothing; ${nearTo(name)}`];
  });
}

function nearTo(name: string): string {
  const bare = (text: string): string => text.toLowerCase().replaceAll('_', '-');
  const known = new Map([...twins, ...others].map((twin) => [bare(twin), twin]));
  const hint = hintFor(name, [...known.keys()], 'tdist --help shows those that do');
  return hint.replace(/tdist-[a-z-]+$/, (found) => known.get(found) ?? found);
}

/** What it sets for a service named tdist or tdist-…, in each pod beside it. */
function isOfKubernetes(name: string, value: string): boolean {
  return /_SERVICE_(HOST|PORT)/.test(name) || /_PORT_\d+_/.test(name) || /^\w+:\/\//.test(value);
}

function openGateway(config: RoleConfig): readonly string[] {
  if (config.role === 'worker') return [];
  const { host, apiKeys, apiKeyFile } = config.role === 'all' ? config.api : config;
  const isLocal = host === 'localhost' || isLoopback(host.replace(/^\[|\]$/g, ''));
  if (isLocal || apiKeys.length > 0 || apiKeyFile !== null) return [];
  const text = `--api-server-host ${host} without a key: whoever reaches the port is served`;
  return [`${text}; set TDIST_API_KEY or give --api-key-file, or keep it on a private network`];
}
