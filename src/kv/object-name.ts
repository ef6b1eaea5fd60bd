// The bucket that blocks of one kind lie in: one for each namespace, model and dtype. Everybody works
// the name out; no message can lead a reader to another bucket.

import { assert } from '../std/fault.ts';

/** Letters, digits, `-` and `_`, as buckets want them; namespaces are made of nothing else. */
export function kvBucketName(options: {
  readonly namespace: string;
  readonly modelDigest: string;
  readonly dtype: string;
}): string {
  const { namespace, modelDigest, dtype } = options;
  assert(/^[A-Za-z0-9_-]+$/.test(namespace), `namespace ${namespace}`);
  return `tdist-${namespace}-kv-${modelDigest.slice(0, 16)}-${dtype}`;
}
