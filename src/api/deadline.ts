// How long a client is ready to wait for its first token: the header `timeout`, or what OpenAI's
// libraries say of their own time-out. In seconds; the queue's limit still holds.

import { Fault } from '../std/fault.ts';
import { clip } from './fault.ts';

/** openai-node sends the first, whole seconds rounded down; openai-python the second. */
const libraryHeaders = ['x-stainless-timeout', 'x-stainless-read-timeout'] as const;

/** In milliseconds; null: the client does not say. Throws a Fault where it says no number. */
export function clientTimeoutMs(headers: Headers): number | null {
  const own = secondsIn(headers, 'timeout');
  if (own === 0) throw bad('timeout', '0');
  if (own !== null) return own * 1000;
  for (const name of libraryHeaders) {
    const found = secondsIn(headers, name);
    // 0 is less than a second rounded down: the library itself gives up in time.
    if (found !== null && found > 0) return found * 1000;
  }
  return null;
}

function secondsIn(headers: Headers, name: string): number | null {
  const text = headers.get(name)?.trim() ?? '';
  if (text === '' || text === 'None') return null;
  if (!/^\d{1,12}(\.\d{1,12})?$/.test(text)) throw bad(name, text);
  return Number(text);
}

function bad(name: string, found: string): Fault {
  return new Fault(
    'invalid_request',
    `The header ${name} is '${clip(found, 50)}'; it must be a number of seconds above 0, ` +
      'for example 30 or 0.5.',
  );
}
