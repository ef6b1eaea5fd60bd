// Words of the command line and of the environment to flag values. Says nothing about what the
// values mean together; configure.ts does.

import { Fault } from '../std/fault.ts';
import type { FlagValue } from './flag.ts';
import { envTwin, type FlagName, flagNames, flagOf, isFlagName, type Values } from './flags.ts';
import { redactUri } from './plane-uri.ts';
import { hintFor } from './suggest.ts';
import { type Origin, parseValue } from './value.ts';

export type Env = Readonly<Record<string, string | undefined>>;

export type Parsed = {
  readonly values: Values;
  /** Flags that the user set, on the command line or by their environment twin. */
  readonly given: ReadonlySet<FlagName>;
};

/**
 * Faults with code `usage`. The command line wins over the environment, a later flag over an earlier.
 * @param alsoKnown names that the caller takes besides, for the hint at what was meant.
 */
export function parseFlags(
  argv: readonly string[],
  env: Env,
  alsoKnown: readonly string[] = [],
): Parsed {
  const set = new Map<FlagName, FlagValue>();
  for (const name of flagNames) {
    const twin = envTwin(name);
    const found = twin === null ? undefined : env[twin];
    if (twin === null || found === undefined || found === '') continue;
    set.set(name, parseValue(flagOf(name), found, { label: twin, joint: '=' }));
  }
  for (const [name, value] of commandLine(argv, alsoKnown)) set.set(name, value);
  const all = flagNames.map((name) => [name, set.get(name) ?? flagOf(name).default]);
  // Every name of the table is present, with a value made by its own row: that is what Values says.
  const values = Object.fromEntries(all) as Values;
  return { values, given: new Set(set.keys()) };
}

function commandLine(
  argv: readonly string[],
  alsoKnown: readonly string[],
): Map<FlagName, FlagValue> {
  const set = new Map<FlagName, FlagValue>();
  let isAfterSecret = false;
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] === '-h' ? '--help' : (argv[at] ?? '');
    if (!word.startsWith('-')) throw unexpected(word, isAfterSecret);
    const { name, negated, inline } = readWord(word, alsoKnown);
    const flag = flagOf(name);
    isAfterSecret = flag.kind === 'list' && flag.isSecret === true;
    const origin: Origin = { label: `--${name}`, joint: inline === undefined ? ' ' : '=' };
    let value: FlagValue;
    if (flag.kind === 'boolean') {
      if (negated && inline !== undefined) {
        throw new Fault('usage', `--no-${name} takes no value; write --no-${name} or --${name}`);
      }
      value = inline === undefined ? !negated : parseValue(flag, inline, origin);
    } else {
      const next = argv[at + 1];
      if (inline === undefined && next !== undefined && !next.startsWith('--')) at++;
      else if (inline === undefined) {
        throw new Fault('usage', `--${name} needs a value; see tdist --help`);
      }
      value = parseValue(flag, inline ?? next ?? '', origin);
    }
    const before = set.get(name);
    set.set(name, isList(before) && isList(value) ? [...before, ...value] : value);
  }
  return set;
}

/** What stands behind a key may be another one, meant as its value, and an address may hold a password. */
function unexpected(word: string, isSecret: boolean): Fault {
  const shown = isSecret ? '***' : redactUri(word);
  return new Fault('usage', `unexpected argument ${JSON.stringify(shown)}; flags begin with --`);
}

function isList(value: FlagValue | undefined): value is readonly string[] {
  return typeof value === 'object' && value !== null;
}

type Word = { readonly name: FlagName; readonly negated: boolean; readonly inline?: string };

function readWord(word: string, alsoKnown: readonly string[]): Word {
  const [, typed = '', inline] = /^--?([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
  const rest = inline === undefined ? {} : { inline };
  if (word.startsWith('--') && isFlagName(typed)) return { name: typed, negated: false, ...rest };
  const positive = typed.replace(/^no-/, '');
  if (word.startsWith('--no-') && isFlagName(positive) && flagOf(positive).kind === 'boolean') {
    return { name: positive, negated: true, ...rest };
  }
  const booleans = flagNames.filter((name) => flagOf(name).kind === 'boolean');
  const known = typed.startsWith('no-')
    ? booleans.map((name) => `no-${name}`)
    : [...flagNames, ...alsoKnown];
  const shown = word.split('=')[0] ?? word;
  const hint = hintFor(
    `--${typed}`,
    known.map((name) => `--${name}`),
    'tdist --help lists them',
  );
  throw new Fault('usage', `unknown flag ${shown}; ${hint}`);
}
