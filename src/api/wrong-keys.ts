// Wrong API keys, by the network they come from: a few are a mistake, more are guesses, and of those only
// so many a minute are heard. The table has a fixed size; who has not guessed for longest leaves it.

import { limit } from '../protocol/limit.ts';
import type { Clock } from '../std/clock.ts';
import { TokenBucket } from './token-bucket.ts';

export class WrongKeys {
  readonly #clock: Clock;
  /** In the order of their last wrong key. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get count(): number {
    return this.#buckets.size;
  }

  /** Milliseconds until another key is tried; 0: at once. */
  waitMs(network: string): number {
    return this.#buckets.get(network)?.waitMs(1) ?? 0;
  }

  note(network: string): void {
    const bucket =
      this.#buckets.get(network) ?? new TokenBucket(this.#clock, limit.wrongKeysPerMinute);
    bucket.take(1);
    this.#buckets.delete(network);
    this.#buckets.set(network, bucket);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > limit.wrongKeyNetworkMax && oldest !== undefined) {
      this.#buckets.delete(oldest);
    }
  }
}

/** Who has one IPv6 address has 2^64 of them: the upper half. An IPv4 address, mapped or not, is itself. */
export function networkOf(address: string): string {
  const [plain = ''] = address.toLowerCase().split('%');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(plain)?.[1];
  if (mapped !== undefined || !plain.includes(':')) return mapped ?? plain;
  const [head = '', tail = ''] = plain.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const [first, last] = [groups(head), groups(tail)];
  const zeros = plain.includes('::') ? Math.max(0, 8 - first.length - last.length) : 0;
  const all = [...first, ...new Array<string>(zeros).fill('0'), ...last];
  return all
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':');
}
