// Faults as OpenAI's error envelope, the one shape in which anything goes wrong over HTTP: on every
// route, every method, and inside a stream. Messages are bounded and, where they could show our
// insides, replaced by a general one with the request id to look for in the log.

import { httpFace } from '../protocol/code.ts';
import { limit } from '../protocol/limit.ts';
import type { Fault } from '../std/fault.ts';

export type ErrorEnvelope = {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
};

export function errorEnvelope(fault: Fault, requestId: string): ErrorEnvelope {
  const face = httpFace(fault.code);
  const message = face.hidden ? hiddenMessage(face.status, requestId) : fault.message;
  return {
    error: {
      message: clip(message, limit.errorCharsMax),
      type: face.type,
      param: fault.param ?? null,
      code: face.code,
    },
  };
}

/** @param retryAfterS whole seconds after which trying again makes sense; said with a 503 and a 429. */
export function errorResponse(fault: Fault, requestId: string, retryAfterS = 1): Response {
  const { status } = httpFace(fault.code);
  const headers = {
    ...(isBusy(status) ? { 'retry-after': String(fault.retryAfterS ?? retryAfterS) } : {}),
    // What is left of its body would be taken for a request.
    ...(status === 408 ? { connection: 'close' } : {}),
    ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
  };
  return Response.json(errorEnvelope(fault, requestId), { status, headers });
}

/** The same request may succeed a little later. */
export function isBusy(status: number): boolean {
  return status === 503 || status === 429;
}

/** For log lines, which may show what the envelope hides. */
export function faultFields(fault: Fault): { readonly code: string; readonly reason: string } {
  return { code: fault.code, reason: clip(fault.message, limit.errorCharsMax) };
}

/** At most `charsMax` of `text`, never half a surrogate pair. */
export function clip(text: string, charsMax: number): string {
  return text.length <= charsMax ? text : `${text.slice(0, charsMax - 1).toWellFormed()}…`;
}

function hiddenMessage(status: number, requestId: string): string {
  return status === 503
    ? `The workers cannot be reached at the moment. Try again; request id ${requestId}.`
    : `Internal server error. The server's log has the cause under request id ${requestId}.`;
}
