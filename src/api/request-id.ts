// The id under which a client finds its request again. One of its own is kept and echoed, if
// it is short and of visible characters, even where it is in flight already; it
// goes into headers, log lines and error messages only. The request plane never sees it: there, ids
// are always ours.

import type { Chance } from '../std/prng.ts';

export const requestIdHeader = 'x-request-id';

export function requestIdOf(headers: Headers, chance: Chance): string {
  const sent = headers.get(requestIdHeader) ?? '';
  return /^[\x21-\x7e]{1,128}$/.test(sent) ? sent : chance.id();
}
