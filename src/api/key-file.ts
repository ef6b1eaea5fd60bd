// The text of --api-key-file: one key a line, as its first word, and behind it, in any order, what it
// is called and what it may do. Pure. No key is ever part of a message: lines are named by number.
//
//   # the comment
//   sk-Zx81…
//   sk-94ba…  name=alice  requests_per_minute=60  tokens_per_minute=100000  concurrent=4

import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import { digest } from '../std/hash.ts';

/** Null: unlimited. */
export type KeyLimits = {
  readonly requestsPerMinute: number | null;
  /** Prompt and completion together. */
  readonly tokensPerMinute: number | null;
  /** Requests at the same time. */
  readonly concurrent: number | null;
};

export type KeyEntry = KeyLimits & {
  /** For metrics and logs. */
  readonly name: string;
  /** SHA-256, 64 hex digits: all that is kept of the key. */
  readonly digest: string;
};

const keyForm = /^[\x21-\x7e]{1,512}$/;
const nameForm = /^[A-Za-z0-9_.@-]{1,64}$/;
const limitNames = {
  requests_per_minute: 'requestsPerMinute',
  tokens_per_minute: 'tokensPerMinute',
  concurrent: 'concurrent',
} as const;
const settingNames = ['name', ...Object.keys(limitNames)].join(', ');
const unlimited: KeyLimits = { requestsPerMinute: null, tokensPerMinute: null, concurrent: null };

/** Keys given by themselves: `flag-1`, `flag-2`, without limits. Throws a Fault `usage`. */
export function keysOfFlag(keys: readonly string[]): readonly KeyEntry[] {
  return keys.map((key, index) => {
    if (keyForm.test(key)) return { ...unlimited, name: `flag-${index + 1}`, digest: digest(key) };
    throw new Fault('usage', `--api-key ${index + 1}: wanted 1 to 512 visible ASCII characters`);
  });
}

/** Throws a Fault `usage` that names `path` and line. */
export function parseKeyFile(text: string, path: string): readonly KeyEntry[] {
  const entries: KeyEntry[] = [];
  const lineOf = new Map<string, number>();
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const wrong = (why: string): Fault =>
      new Fault('usage', `--api-key-file ${path}: line ${index + 1}: ${why}`);
    const entry = parseLine(line, index + 1, wrong);
    const before = lineOf.get(entry.digest);
    if (before !== undefined) throw wrong(`the key of line ${before} again; keep one of them`);
    lineOf.set(entry.digest, index + 1);
    entries.push(entry);
    if (entries.length > limit.keyCountMax) throw wrong(`more than ${limit.keyCountMax} keys`);
  }
  if (entries.length > 0) return entries;
  throw new Fault('usage', `--api-key-file ${path}: holds no key; write one a line`);
}

function parseLine(line: string, number: number, wrong: (why: string) => Fault): KeyEntry {
  const [key = '', ...settings] = line.split(/\s+/);
  if (!keyForm.test(key)) throw wrong('the key is not 1 to 512 visible ASCII characters');
  const limits: { -readonly [N in keyof KeyLimits]: KeyLimits[N] } = { ...unlimited };
  let name = `line-${number}`;
  for (const [at, setting] of settings.entries()) {
    const [, left = '', right = ''] = /^([a-z_]+)=(.*)$/.exec(setting) ?? [];
    if (left === 'name') {
      if (!nameForm.test(right)) throw wrong('a name has 1 to 64 letters, digits, _ . @ or -');
      name = right;
    } else if (isLimitName(left)) {
      if (!/^[1-9]\d{0,11}$/.test(right)) throw wrong(`${left} wants a whole number above 0`);
      limits[limitNames[left]] = Number(right);
      // The word itself is not shown: with a blank in a wrong place it is part of a key.
    } else throw wrong(`word ${at + 2} is no setting; wanted NAME=VALUE, of ${settingNames}`);
  }
  return { ...limits, name, digest: digest(key) };
}

function isLimitName(word: string): word is keyof typeof limitNames {
  return Object.hasOwn(limitNames, word);
}
