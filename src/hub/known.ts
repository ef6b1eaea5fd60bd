// Whether a model is one that we compute, asked of its config.json alone: before gigabytes come for nothing.

import { parseConfig } from '../model/config.ts';
import { Fault } from '../std/fault.ts';

/** Throws the Fault that loading the model would end with. */
export function requireKnown(config: Uint8Array, where: string): void {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(config));
  } catch (cause) {
    throw new Fault('config', `${where} is not valid JSON; choose another revision`, { cause });
  }
  parseConfig(parsed, {}, where);
}
