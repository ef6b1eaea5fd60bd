// Which web pages may read our answers. As in the seed, `http://localhost` unless told otherwise;
// an origin is compared as a whole. `*` admits every page, and then never with credentials.

import { requestIdHeader } from './request-id.ts';

export type CorsPolicy = {
  admits(origin: string): boolean;
  /** Headers for the answer to a request that came from `origin` (null: not from a page). */
  answer(origin: string | null): Readonly<Record<string, string>>;
  /** Headers for the answer to a preflight. */
  preflight(request: Request, methods: readonly string[]): Readonly<Record<string, string>>;
};

const rateHeaders = ['limit', 'remaining', 'reset'].flatMap((name) =>
  ['requests', 'tokens'].map((what) => `x-ratelimit-${name}-${what}`),
);
const exposed = [requestIdHeader, 'x-tdist-route', 'retry-after', ...rateHeaders].join(', ');
const usualHeaders =
  'authorization, content-type, x-api-key, x-request-id, x-tdist-timing, x-tdist-force-route';
const preflightSeconds = 600;

export function corsPolicy(origins: readonly string[]): CorsPolicy {
  const everyone = origins.includes('*');
  const allowed = (origin: string | null): Readonly<Record<string, string>> => {
    if (everyone) return { 'access-control-allow-origin': '*' };
    const vary = { vary: 'origin' };
    if (origin === null || !origins.includes(origin)) return vary;
    return {
      ...vary,
      'access-control-allow-origin': origin,
      'access-control-allow-credentials': 'true',
    };
  };
  return {
    admits: (origin) => everyone || origins.includes(origin),
    answer: (origin) => ({ ...allowed(origin), 'access-control-expose-headers': exposed }),
    preflight: (request, methods) => ({
      ...allowed(request.headers.get('origin')),
      'access-control-allow-methods': methods.join(', '),
      'access-control-allow-headers': askedHeaders(request.headers),
      'access-control-max-age': String(preflightSeconds),
    }),
  };
}

/** All headers are allowed, so the question is the answer, as long as it is a list of names. */
function askedHeaders(headers: Headers): string {
  const asked = headers.get('access-control-request-headers') ?? '';
  return /^[A-Za-z0-9, _-]{1,1000}$/.test(asked) ? asked : usualHeaders;
}
