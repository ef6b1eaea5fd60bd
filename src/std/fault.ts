// What the world may do to us, as one class of error with a code. A bug is an assertion instead.
// The code decides the HTTP face (protocol/code.ts) and the exit code; the message is for the user:
// what was being done, the value found, the value wanted, and the mend.

export type FaultCode =
  | 'usage' // a wrong flag or flag value
  | 'config' // a model folder, file or environment we cannot work with
  | 'invalid_request' // the client's request is wrong; `param` names the field
  | 'unauthorized' // no API key, or none that is known
  | 'rate_limit' // more than an API key may
  | 'request_timeout' // the client did not send its request in time
  | 'forbidden' // a page of a foreign origin wants to change something
  | 'not_found' // unknown route or worker
  | 'model_not_found' // unknown model name
  | 'context_length' // prompt does not fit the model
  | 'method' // wrong HTTP method
  | 'media_type' // wrong content type
  | 'too_large' // body or message above its limit
  | 'no_worker' // nobody alive who could serve this
  | 'overloaded' // a worker has all it may hold
  | 'queue_full' // as many requests wait at the gateway as may
  | 'draining' // the process finishes what it has and takes nothing new
  | 'timeout' // a deadline passed
  | 'cancelled' // the client went away
  | 'plane' // the request plane is unreachable or broke its promise (gap, bad message)
  | 'transfer' // a KV hand-over failed (checksum, expired lease, missing arena)
  | 'mismatch' // a KV hand-over between workers that cannot understand each other
  | 'engine' // ONNX Runtime refused or failed
  | 'internal'; // ours; the message stays generic outside

/** What came from outside is quoted in messages, and they go to logs and back over the bus. */
export const faultCharsMax = 4096;

export class Fault extends Error {
  override readonly name = 'Fault';
  readonly code: FaultCode;
  /** Dotted path of the request field at fault, where there is one. */
  readonly param: string | undefined;
  /** One word for counters, where a code has several causes worth telling apart. */
  readonly reason: string | undefined;
  /** Whole seconds after which trying again makes sense, where the cause knows. */
  readonly retryAfterS: number | undefined;

  constructor(
    code: FaultCode,
    message: string,
    options: { param?: string; reason?: string; retryAfterS?: number; cause?: unknown } = {},
  ) {
    super(bounded(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.param = options.param;
    this.reason = options.reason;
    this.retryAfterS = options.retryAfterS;
  }
}

function bounded(message: string): string {
  return message.length <= faultCharsMax ? message : `${message.slice(0, faultCharsMax - 1)}…`;
}

/** Any thrown value as a Fault; what is not one already becomes `internal` with its text kept. */
export function toFault(thrown: unknown, code: FaultCode = 'internal'): Fault {
  if (thrown instanceof Fault) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new Fault(code, message, { cause: thrown });
}

/** With a full stop, unless the text ends a sentence by itself: another may follow. */
export function sentence(text: string): string {
  return /[.?!]$/.test(text) ? text : `${text}.`;
}

/** For what only a bug can do. Never for input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Closes a switch over a union: a new member becomes a type error here. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}
