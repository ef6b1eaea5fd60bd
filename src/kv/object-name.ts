// The bucket that blocks of one kind lie in: one for each namespace, model and dtype. Everybody works
// the name out; no message can lead a reader to another bucket.

import { digest } from '../std/hash.ts';

/**
 * Letters, digits, `-` and `_`, as buckets want them. A namespace may hold others: what is replaced is
 * told apart by a digest.
 */
export function kvBucketName(options: {
  readonly namespace: string;
  readonly modelDigest: string;
  readonly dtype: string;
}): string {
  const { namespace, modelDigest, dtype } = options;
  const plain = namespace.replace(/[^A-Za-z0-9_-]/g, '_');
  const mark = plain === namespace ? '' : `-${digest(namespace).slice(0, 8)}`;
  return `${plain}${mark}-kv-${modelDigest.slice(0, 16)}-${dtype}`;
}
