// A fault's face over HTTP: status, OpenAI's `type` and `code`, and whether its message may be seen
// outside. Whoever answers HTTP (the gateway; a worker's metrics port) reads this one table.

import type { FaultCode } from '../std/fault.ts';

export type HttpFace = {
  readonly status: number;
  readonly type: 'invalid_request_error' | 'rate_limit_error' | 'server_error';
  readonly code: string | null;
  /** Messages of these may name hosts, paths or internals: outside they become a general one. */
  readonly hidden: boolean;
};

function client(status: number, code: string | null): HttpFace {
  return { status, type: 'invalid_request_error', code, hidden: false };
}

/** Try again: OpenAI's client libraries do so by themselves on 503, and heed `retry-after`. */
function busy(code: string): HttpFace {
  return { status: 503, type: 'server_error', code, hidden: false };
}

/** Too many at once: what OpenAI says with a 429. Its client libraries try again by themselves. */
function tooMany(code: string): HttpFace {
  return { status: 429, type: 'rate_limit_error', code, hidden: false };
}

function ours(status: number, code: string): HttpFace {
  return { status, type: 'server_error', code, hidden: true };
}

const faces: Readonly<Record<FaultCode, HttpFace>> = {
  invalid_request: client(400, null),
  context_length: client(400, 'context_length_exceeded'),
  unauthorized: client(401, 'invalid_api_key'),
  rate_limit: tooMany('rate_limit_exceeded'),
  request_timeout: client(408, 'request_timeout'),
  forbidden: client(403, 'forbidden'),
  not_found: client(404, 'not_found'),
  model_not_found: client(404, 'model_not_found'),
  method: client(405, 'method_not_allowed'),
  too_large: client(413, 'request_too_large'),
  media_type: client(415, 'unsupported_media_type'),
  no_worker: busy('no_worker'),
  overloaded: busy('overloaded'),
  queue_full: tooMany('queue_full'),
  draining: busy('draining'),
  timeout: busy('timeout'),
  // Nobody reads this one: the client has gone. 499 is what web servers log for it.
  cancelled: { status: 499, type: 'server_error', code: 'cancelled', hidden: false },
  plane: ours(503, 'plane'),
  transfer: ours(500, 'internal'),
  mismatch: ours(500, 'internal'),
  engine: ours(500, 'internal'),
  usage: ours(500, 'internal'),
  config: ours(500, 'internal'),
  internal: ours(500, 'internal'),
};

export function httpFace(code: FaultCode): HttpFace {
  return faces[code];
}
