// One flag's text to its typed value and back. A wrong text becomes one line that says where it
// came from, what was found, what is wanted, and an example to copy.

import { Fault, unreachable } from '../std/fault.ts';
import type { Flag, FlagValue } from './flag.ts';

/** Where a text came from, as the user wrote it: `--x` or `TDIST_X`. */
export type Origin = { readonly label: string; readonly joint: ' ' | '=' };

const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

const unitSeconds: Readonly<Record<string, number>> = {
  '': 1,
  ms: 1e-3,
  s: 1,
  m: 60,
  min: 60,
  h: 3600,
  d: 86_400,
};

export function parseValue(flag: Flag, found: string, origin: Origin): FlagValue {
  const value = readValue(flag, found);
  if (value !== undefined) return value;
  const { label, joint } = origin;
  const isSecret = flag.kind === 'list' && flag.isSecret === true;
  const shown = isSecret ? '***' : found.replace(/^([a-z]+:\/\/)?.*@/is, '$1***@').slice(0, 100); // no password
  const example = `${label}${joint}${exampleOf(flag)}`;
  throw new Fault(
    'usage',
    `${label}${joint}${JSON.stringify(shown)}: wanted ${wantedOf(flag)}, for example ${example}`,
  );
}

/** The value as text that `parseValue` reads back. */
export function valueText(value: Exclude<FlagValue, null>): string {
  return typeof value === 'object' ? value.join(',') : String(value);
}

function readValue(flag: Flag, found: string): FlagValue | undefined {
  switch (flag.kind) {
    case 'string':
      return found.trim() === '' ? undefined : found;
    case 'list': {
      const parts = found.split(',').map((part) => part.trim());
      return parts.includes('') ? undefined : parts;
    }
    case 'boolean':
      if (['1', 'true', 'on', 'yes'].includes(found.toLowerCase())) return true;
      if (['0', 'false', 'off', 'no'].includes(found.toLowerCase())) return false;
      return undefined;
    case 'choice': {
      const text = found.toLowerCase();
      const hit = Object.entries(flag.choices).find(
        ([name, aliases]) => name === text || aliases.includes(text),
      );
      return hit?.[0];
    }
    case 'integer':
      return inRange(flag, /^[+-]?\d+$/.test(found) ? Number(found) : Number.NaN);
    case 'share': {
      const share = /^\d*\.?\d+$/.test(found) ? Number(found) : Number.NaN;
      return share > flag.min ? inRange(flag, share) : undefined;
    }
    case 'bytes': {
      const [, amount, unit = ''] = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(found) ?? [];
      const factor = unitBytes[unit.toLowerCase()];
      if (amount === undefined || factor === undefined) return undefined;
      return inRange(flag, Math.round(Number(amount) * factor));
    }
    case 'duration': {
      const [, amount, unit = ''] = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(found) ?? [];
      const factor = unitSeconds[unit.toLowerCase()];
      if (amount === undefined || factor === undefined) return undefined;
      return inRange(flag, Number(amount) * factor);
    }
    default:
      return unreachable(flag);
  }
}

function inRange(range: { min: number; max: number }, value: number): number | undefined {
  return value >= range.min && value <= range.max ? value : undefined;
}

function wantedOf(flag: Flag): string {
  switch (flag.kind) {
    case 'string':
      return 'a text that is not empty';
    case 'list':
      return 'one or more values separated by commas';
    case 'boolean':
      return 'true or false';
    case 'choice':
      return `one of ${choicesText(flag.choices)}`;
    case 'integer':
      return `a whole number from ${flag.min} to ${flag.max}`;
    case 'share':
      return `a number above ${flag.min} and at most ${flag.max}`;
    case 'bytes':
      return `a size of at least ${flag.min} bytes, with or without KiB, MiB or GiB`;
    case 'duration':
      return `a time from ${flag.min} to ${flag.max} s: seconds, or with ms, s, m, h or d`;
    default:
      return unreachable(flag);
  }
}

function exampleOf(flag: Flag): string {
  if (flag.kind === 'boolean') return 'true';
  if (flag.kind === 'choice') return flag.default ?? Object.keys(flag.choices)[0] ?? '';
  return flag.example;
}

/** `auto, float16 (fp16), …` */
export function choicesText(choices: Readonly<Record<string, readonly string[]>>): string {
  return Object.entries(choices)
    .map(([name, aliases]) => (aliases.length === 0 ? name : `${name} (${aliases.join(', ')})`))
    .join(', ');
}
