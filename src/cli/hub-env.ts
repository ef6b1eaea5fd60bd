// The hub's settings of this process: its environment, and the token that a login of Python's tools left.

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { type HubSettings, hubSettings } from '../hub/settings.ts';
import type { Env } from './parse.ts';

/** Faults with code `config`. */
export function hubOf(env: Env): HubSettings {
  return hubSettings(env, { home: homedir(), readText });
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
