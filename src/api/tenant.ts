// Whom a key belongs to: its limits on the clock, and what is counted under its name. A request that
// makes work holds a lease from before its body is read until its answer's last byte; tokens are taken
// as they come, so an answer whose client hung up has cost what was generated.

import type { Clock } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import type { Meter } from '../telemetry/metric.ts';
import type { KeyEntry } from './key-file.ts';
import { TokenBucket } from './token-bucket.ts';

export type TokenKind = 'prompt' | 'completion';

/** One request's account with whoever sent it. */
export type Lease = {
  tokens(kind: TokenKind, count: number): void;
  /** Any number of times; only the first counts. */
  end(status: number): void;
};

/** Of requests that nobody counts. */
export const freeLease: Lease = { tokens: () => undefined, end: () => undefined };

export class Tenant {
  /** Where the key was last used from; null: nowhere yet. */
  network: string | null = null;
  readonly #clock: Clock;
  readonly #meter: Meter;
  #entry: KeyEntry;
  #requests: TokenBucket | null = null;
  #tokens: TokenBucket | null = null;
  #count = 0;

  constructor(entry: KeyEntry, ports: { readonly clock: Clock; readonly meter: Meter }) {
    this.#clock = ports.clock;
    this.#meter = ports.meter;
    this.#entry = entry;
    this.update(entry);
  }

  /** The same key with another name or other limits: what it has used stays used. */
  update(entry: KeyEntry): void {
    this.#entry = entry;
    this.#requests = this.#bucket(this.#requests, entry.requestsPerMinute);
    this.#tokens = this.#bucket(this.#tokens, entry.tokensPerMinute);
  }

  /** Lets one request in. Throws a Fault `rate_limit` that knows when to try again. */
  enter(): Lease {
    const { name } = this.#entry;
    try {
      this.#check();
    } catch (thrown) {
      this.#meter.count('tdist_key_requests_total', { key: name, code: '429' });
      throw thrown;
    }
    this.#requests?.take(1);
    this.#count++;
    let isOpen = true;
    return {
      tokens: (kind, count) => {
        this.#tokens?.take(count);
        this.#meter.count('tdist_key_tokens_total', { key: name, kind }, count);
      },
      end: (status) => {
        if (!isOpen) return;
        isOpen = false;
        this.#count--;
        this.#meter.count('tdist_key_requests_total', { key: name, code: String(status) });
      },
    };
  }

  /** As OpenAI tells them; only of limits that there are. */
  headers(): Readonly<Record<string, string>> {
    return {
      ...bucketHeaders('requests', this.#requests),
      ...bucketHeaders('tokens', this.#tokens),
    };
  }

  #check(): void {
    const { requestsPerMinute, tokensPerMinute, concurrent } = this.#entry;
    const requestMs = this.#requests?.waitMs(1) ?? 0;
    if (requestMs > 0) throw refusal(`${requestsPerMinute} requests a minute`, requestMs);
    const tokenMs = this.#tokens?.waitMs(1) ?? 0;
    if (tokenMs > 0) throw refusal(`${tokensPerMinute} tokens a minute`, tokenMs);
    if (concurrent !== null && this.#count >= concurrent) {
      throw refusal(`${concurrent} requests at the same time`, 1000);
    }
  }

  #bucket(before: TokenBucket | null, perMinute: number | null): TokenBucket | null {
    if (perMinute === null) return null;
    if (before === null) return new TokenBucket(this.#clock, perMinute);
    before.perMinute = perMinute;
    return before;
  }
}

function refusal(limits: string, waitMs: number): Fault {
  const retryAfterS = Math.max(1, Math.ceil(waitMs / 1000));
  const text = `This API key is limited to ${limits}. Try again in ${retryAfterS} s.`;
  return new Fault('rate_limit', text, { retryAfterS });
}

function bucketHeaders(
  what: 'requests' | 'tokens',
  bucket: TokenBucket | null,
): Readonly<Record<string, string>> {
  if (bucket === null) return {};
  return {
    [`x-ratelimit-limit-${what}`]: String(bucket.perMinute),
    [`x-ratelimit-remaining-${what}`]: String(bucket.remaining),
    [`x-ratelimit-reset-${what}`]: durationText(bucket.fullMs),
  };
}

/** `6m0s`, `1s`, `250ms`, as OpenAI writes them. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const seconds = Math.ceil(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
