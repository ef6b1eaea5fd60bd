// Messages to bytes and back. Everything that arrives is decoded by schema; what does not fit becomes
// a Fault `plane` that says which message, where in it, and what was wanted. Never a crash.

import * as v from 'valibot';
import { protocolVersion } from '../protocol/message.ts';
import { Fault } from '../std/fault.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

export function encode(message: object): Uint8Array {
  return encoder.encode(JSON.stringify(message));
}

/**
 * Reads `payload` as the message `what` (a word for the error text). Throws a Fault `plane`.
 * @param isSurely says of some values that fit the schema that they do, at less cost.
 */
export function decode<const Schema extends v.GenericSchema>(
  schema: Schema,
  payload: Uint8Array,
  what: string,
  isSurely: (value: unknown) => value is v.InferOutput<Schema> = never,
): v.InferOutput<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(payload));
  } catch (cause) {
    throw new Fault('plane', `${what}: ${payload.byteLength} bytes that are no JSON`, { cause });
  }
  if (isSurely(value)) return value;
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const version = versionOf(value);
  if (version !== protocolVersion) {
    throw new Fault(
      'plane',
      `${what}: message version ${shown(version)}, this process speaks ${protocolVersion}; run the same release of tdist everywhere`,
    );
  }
  const issue = result.issues[0];
  throw new Fault('plane', `${what}: ${v.getDotPath(issue) ?? 'message'}: ${issue.message}`);
}

function never(_: unknown): _ is never {
  return false;
}

/** An object cannot always be made a text: one from JSON may have a `toString` that is no function. */
function shown(version: unknown): string {
  return typeof version === 'object' ? JSON.stringify(version) : String(version);
}

function versionOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'v' in value ? value.v : undefined;
}
