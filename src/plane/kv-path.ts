// How KV gets from a context to a generate worker: through shared memory where both see the same, else
// through the object store where both can use it. `--kv-path` on either side decides instead.
//
//   same_host    both map the same /dev/shm: so they say of themselves (role/host.ts), and the reader
//                has looked for the other's arena when it reserved
//   other_host   they do not
//   flag         --kv-path of one of them says so

import { isKvDtype } from '../protocol/kv-size.ts';
import type { Heartbeat } from '../protocol/message.ts';
import type { KvPathReason } from '../protocol/request.ts';

export type PairPath = { readonly path: 'shm' | 'object'; readonly reason: KvPathReason };

/** Two workers can make sense of each other's KV exactly if these are equal; dtypes may differ. */
export function layoutKey({ card }: Heartbeat): string {
  const { layers, kvHeads, headDim, blockTokens } = card.geometry;
  return `${layers} ${kvHeads} ${headDim} ${blockTokens} ${card.modelDigest}`;
}

/** Where the reader does not see the other's memory although their hosts are called the same. */
export function pathUnseen(context: Heartbeat, generate: Heartbeat): PairPath | null {
  const path = pairPath({ ...context, host: `not ${generate.host}` }, generate);
  return path?.path === 'object' ? path : null;
}

/** Null: KV cannot get from the one to the other. */
export function pairPath(context: Heartbeat, generate: Heartbeat): PairPath | null {
  const isReadable = isKvDtype(context.card.kvDtype);
  if (!isReadable || layoutKey(context) !== layoutKey(generate)) return null;
  const flags = [context.kvPath ?? 'auto', generate.kvPath ?? 'auto'];
  const isSameHost = context.host === generate.host;
  const objects = context.objects === true && generate.objects === true;
  if (flags.includes('shm')) {
    return isSameHost && !flags.includes('object') ? { path: 'shm', reason: 'flag' } : null;
  }
  if (flags.includes('object')) return objects ? { path: 'object', reason: 'flag' } : null;
  if (isSameHost) return { path: 'shm', reason: 'same_host' };
  return objects ? { path: 'object', reason: 'other_host' } : null;
}
