// The NATS library's errors and the micro protocol's error headers as Faults, and as one line of text.
// Types of the library alone: its errors are known by their codes.

import type { Msg, NatsError } from 'nats';
import { Fault } from '../std/fault.ts';
import { connectTimeoutMs } from './nats-options.ts';
import { oneLine, remoteFault } from './remote-fault.ts';

/** Our own header beside the micro protocol's two: the Fault's code. */
export const codeHeader = 'Tdist-Fault-Code';
const microCodeHeader = 'Nats-Service-Error-Code';
const microTextHeader = 'Nats-Service-Error';

/** The reply's data, or the Fault it stands for. */
export function readReply(reply: Msg): Uint8Array | Fault {
  const code = reply.headers?.get(microCodeHeader) ?? '';
  if (code === '') return reply.data;
  const text = reply.headers?.get(microTextHeader) ?? 'no reason given';
  return remoteFault(reply.headers?.get(codeHeader) || code, text);
}

export function requestFault(subject: string, timeoutMs: number, error: unknown): Fault {
  const code = isNatsError(error) ? error.code : '';
  const cause = error;
  if (code === '503') return new Fault('no_worker', `${subject}: nobody serves it`, { cause });
  if (code === 'TIMEOUT') {
    return new Fault('timeout', `${subject}: no answer within ${timeoutMs} ms`, { cause });
  }
  return new Fault('plane', `${subject}: ${reason(error)}`, { cause });
}

export function tooLarge(subject: string, bytes: number, bytesMax: number): Fault {
  return new Fault(
    'too_large',
    `${subject}: message of ${bytes} bytes, NATS carries at most ${bytesMax}; raise max_payload in nats-server's configuration`,
  );
}

/** Why a connection or call failed, in one line. */
export function reason(error: unknown): string {
  if (!isNatsError(error)) return oneLine(error instanceof Error ? error.message : String(error));
  if (error.code === 'CONNECTION_REFUSED') return 'connection refused';
  if (error.code === 'TIMEOUT') return `no answer within ${connectTimeoutMs} ms`;
  if (error.code === 'AUTHENTICATION_EXPIRED') return 'the credentials have expired';
  return oneLine(error.chainedError?.message ?? error.message);
}

function isNatsError(error: unknown): error is NatsError {
  return error instanceof Error && error.name === 'NatsError';
}
