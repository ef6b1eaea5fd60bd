// The id under which a client finds its request again. A sane one of its own is kept and echoed; it
// goes into headers, log lines and error messages only. The request plane never sees it: there, ids
// are always ours.

import type { Chance } from '../std/prng.ts';

export const requestIdHeader = 'x-request-id';

export function requestIdOf(headers: Headers, chance: Chance): string {
  const sent = headers.get(requestIdHeader) ?? '';
  return /^[A-Za-z0-9._-]{1,128}$/.test(sent) ? sent : chance.id();
}
