// What this version cannot do, said once: a value that would change the result is refused, one that
// only asks for less memory or for nothing at all is accepted with a line, so that a script written
// for the seed starts unchanged.

import { Fault } from '../std/fault.ts';
import type { Role } from './flag.ts';
import { type FlagName, flagOf, type Values } from './flags.ts';
import type { Parsed } from './parse.ts';

/** Throws a Fault `usage` for the first value of the role's own flags that is not available. */
export function refuseUnavailable(values: Values, role: Role): void {
  for (const name of ['context-tp-size', 'generate-tp-size', 'baseline-tp-size'] as const) {
    refuse(role, name, values[name], values[name] > 1, '1: tensor parallelism is not available');
  }
}

function refuse(role: Role, name: FlagName, found: unknown, bad: boolean, wanted: string): void {
  if (!bad || !belongs(name, role)) return;
  throw new Fault('usage', `--${name} ${found}: this version offers only ${wanted}`);
}

export type Notice = { readonly flag: FlagName; readonly line: string };

/** One for each flag that was given and does not do what its name promises. */
export function noticesOf({ values, given }: Parsed, role: Role): readonly Notice[] {
  const dtype = values.dtype;
  const notes: readonly (readonly [FlagName, boolean, string])[] = [
    ['nats-url', true, 'is an old name; use --request-plane-uri'],
    [
      'dtype',
      values.device === 'cpu' && dtype !== 'auto' && dtype !== 'float32',
      `${dtype}: on the CPU everything is computed in float32`,
    ],
    ['enable-chunked-prefill', !values['enable-chunked-prefill'], 'off: prefill is always chunked'],
    ['enforce-eager', values['enforce-eager'], 'has no meaning here'],
    ['disable-async-output-proc', values['disable-async-output-proc'], 'has no meaning here'],
    ['dummy-worker-count', values['dummy-worker-count'] > 0, 'has no meaning here'],
  ];
  return notes
    .filter(([flag, applies]) => applies && given.has(flag) && belongs(flag, role))
    .map(([flag, , note]) => ({ flag, line: `--${flag} ${note}` }));
}

export function belongs(name: FlagName, role: Role): boolean {
  return flagOf(name).roles.includes(role);
}
