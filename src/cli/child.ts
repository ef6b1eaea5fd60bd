// How a supervisor starts more processes of the same deployment: the user's own flags handed on as
// arguments, the environment without our flags' twins, so that nothing is said or warned twice.

import type { Role } from './flag.ts';
import { envTwin, type FlagName, flagNames } from './flags.ts';
import { belongs, noticesOf } from './notice.ts';
import type { Env, Parsed } from './parse.ts';
import { valueText } from './value.ts';

/** What the supervisor decides for each child by itself. */
const decided: readonly FlagName[] = [
  'role',
  'request-plane-uri',
  'initialize-request-plane',
  'nats-url',
  'context-worker-count',
  'generate-worker-count',
  'baseline-worker-count',
  'data-plane-port',
  'api-key', // by the environment: arguments are everybody's to read
  'dump-config',
  'help',
  'version',
];

/** The user's flags that a child of that role reads, as `--name=value`; without `--role` itself. */
export function childFlags(parsed: Parsed, role: Role): readonly string[] {
  const warned = noticesOf(parsed, 'all').map((notice) => notice.flag);
  const given = [...parsed.given].filter((name) => {
    if (decided.includes(name) || warned.includes(name) || !belongs(name, role)) return false;
    // On a supervisor --model-name is what workers load; for an api it would mean a served name.
    return !(name === 'model-name' && role === 'api');
  });
  return given.flatMap((name) => flagWords(name, parsed));
}

/** The user's secrets that a child of that role reads, as environment. */
export function childSecrets(parsed: Parsed, role: Role): Readonly<Record<string, string>> {
  const { 'api-key': keys } = parsed.values;
  if (keys.length === 0 || !belongs('api-key', role)) return {};
  return { TDIST_API_KEY: valueText(keys) };
}

function flagWords(name: FlagName, { values }: Parsed): readonly string[] {
  const value = values[name];
  if (value === null) return [];
  if (typeof value === 'boolean') return [value ? `--${name}` : `--no-${name}`];
  return [`--${name}=${valueText(value)}`];
}

/** The environment for a child: everything but the twins of our flags and the worker's own number. */
export function childEnv(env: Env): Readonly<Record<string, string>> {
  const ours = new Set<string | null>([
    ...flagNames.map(envTwin),
    'TDIST_WORKER_ID',
    'VLLM_WORKER_ID',
  ]);
  const kept = Object.entries(env).flatMap(([name, value]) =>
    value === undefined || ours.has(name) ? [] : [[name, value] as const],
  );
  return Object.fromEntries(kept);
}
