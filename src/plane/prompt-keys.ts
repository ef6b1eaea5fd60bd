// The keys under which a prompt's blocks would be cached, for every kind of worker that may serve it.
// Hashing 4,000 tokens takes tens of microseconds, so it is done once per request and kind, and only
// when somebody has cached anything at all.

import { prefixHashes } from '../kv/prefix.ts';
import type { Card } from '../protocol/message.ts';

/** As many hex digits of a hash as heartbeats carry. */
const keyLength = 16;

export class PromptKeys {
  readonly #ids: readonly number[];
  readonly #salt: string | undefined;
  readonly #byKind = new Map<string, readonly string[]>();

  /** @param salt only blocks of requests with the same one are this prompt's. */
  constructor(ids: readonly number[], salt?: string) {
    this.#ids = ids;
    this.#salt = salt;
  }

  /** Full blocks only, and never the last token: its logits choose the first one of the answer. */
  of({ modelDigest, kvDtype, geometry }: Card): readonly string[] {
    const { blockTokens } = geometry;
    const kind = `${modelDigest} ${kvDtype} ${blockTokens}`;
    const known = this.#byKind.get(kind);
    if (known !== undefined) return known;
    const count = blockTokens < 1 ? 0 : Math.floor((this.#ids.length - 1) / blockTokens);
    const cacheable = this.#ids.slice(0, Math.max(0, count) * blockTokens);
    const of = { modelDigest, dtype: kvDtype, blockTokens, salt: this.#salt };
    const keys = prefixHashes(cacheable, of).map((hash) => hash.slice(0, keyLength));
    this.#byKind.set(kind, keys);
    return keys;
  }
}
