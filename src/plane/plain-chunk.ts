// The token chunk of which there are thousands a second, recognised without the schema's machinery: one
// that holds nothing but its ids. Whatever else a chunk is, the schema decides; a test holds the two together.

import { protocolVersion, type TokensMessage } from '../protocol/message.ts';

const idForm = /^[A-Za-z0-9_-]{1,64}$/;
const keyCount = 7;

/** False says nothing: ask `tokensSchema`. */
export function isPlainChunk(value: unknown): value is TokensMessage {
  if (typeof value !== 'object' || value === null) return false;
  let count = 0;
  for (const _ in value) if (++count > keyCount) return false;
  // A cast and no copy: nothing of it is believed before it is looked at.
  const { v, type, requestId, worker, first, ids, finish } = value as Record<string, unknown>;
  return (
    count === keyCount &&
    v === protocolVersion &&
    type === 'tokens' &&
    finish === null &&
    typeof requestId === 'string' &&
    idForm.test(requestId) &&
    typeof worker === 'string' &&
    idForm.test(worker) &&
    isCount(first, Number.MAX_SAFE_INTEGER) &&
    Array.isArray(ids) &&
    ids.every((id) => isCount(id, 0x7fff_ffff))
  );
}

function isCount(value: unknown, max: number): boolean {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= max;
}
