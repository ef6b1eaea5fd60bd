// Codes travel between processes as text. Here they become Faults again; a code that this release
// does not know is kept in the message and handled as `internal`.

import { Fault, type FaultCode } from '../std/fault.ts';

const known: Readonly<Record<FaultCode, true>> = {
  usage: true,
  config: true,
  invalid_request: true,
  unauthorized: true,
  rate_limit: true,
  request_timeout: true,
  forbidden: true,
  not_found: true,
  model_not_found: true,
  context_length: true,
  method: true,
  media_type: true,
  too_large: true,
  no_worker: true,
  overloaded: true,
  queue_full: true,
  draining: true,
  timeout: true,
  cancelled: true,
  plane: true,
  transfer: true,
  mismatch: true,
  engine: true,
  internal: true,
};

function isFaultCode(code: string): code is FaultCode {
  return Object.hasOwn(known, code);
}

export function remoteFault(code: string, message: string, reason?: string): Fault {
  const word = reason === undefined ? {} : { reason };
  if (isFaultCode(code)) return new Fault(code, message, word);
  return new Fault('internal', `${code}: ${message}`);
}

/** One line of printable text of bounded length, fit for a header or a message field. */
export function oneLine(text: string, charsMax = 1000): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what we replace
  return text.replace(/[\u0000-\u001f\u007f]+/g, ' ').slice(0, charsMax);
}
