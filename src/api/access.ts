// Who may come in. Of each key only its SHA-256 is kept; one that is sent is hashed and compared with
// all of them, every time over their whole length, so that time tells nothing of which or how much.
// Where too many wrong ones came from, only a key that was last used from there is let in for a while: who
// shares the address with somebody who guesses (an office, a proxy) goes on, and a guess learns nothing.

import type { Clock } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import { digest } from '../std/hash.ts';
import type { Meter } from '../telemetry/metric.ts';
import type { KeyEntry } from './key-file.ts';
import { Tenant } from './tenant.ts';
import { networkOf, WrongKeys } from './wrong-keys.ts';

const digestBytes = 32;

export class Access {
  readonly #ports: { readonly clock: Clock; readonly meter: Meter };
  /** In the order of `#digests`, `digestBytes` each. */
  #tenants: readonly Tenant[] = [];
  #digests = new Uint8Array(0);
  #byDigest = new Map<string, Tenant>();
  readonly #wrong: WrongKeys;

  constructor(ports: { readonly clock: Clock; readonly meter: Meter }) {
    this.#ports = ports;
    this.#wrong = new WrongKeys(ports.clock);
  }

  /** From now on these keys and no others; a key that stays keeps its account. None: all may come in. */
  replace(entries: readonly KeyEntry[]): void {
    const byDigest = new Map<string, Tenant>();
    for (const entry of entries) {
      const tenant = this.#byDigest.get(entry.digest) ?? new Tenant(entry, this.#ports);
      tenant.update(entry);
      byDigest.set(entry.digest, tenant);
    }
    this.#byDigest = byDigest;
    this.#tenants = [...byDigest.values()];
    this.#digests = Buffer.from([...byDigest.keys()].join(''), 'hex');
  }

  /**
   * Null: no keys are asked for here. Throws a Fault `unauthorized`, or `rate_limit` where too many wrong
   * keys came from `address`; reads headers only.
   */
  tenantOf(headers: Headers, address: string): Tenant | null {
    if (this.#tenants.length === 0) return null;
    const sent = keyIn(headers);
    if (sent === null) {
      throw new Fault(
        'unauthorized',
        'An API key is required: send it as "Authorization: Bearer KEY".',
      );
    }
    const found = indexOfDigest(this.#digests, Buffer.from(digest(sent), 'hex'));
    const tenant = this.#tenants[found];
    const network = networkOf(address);
    const waitMs = this.#wrong.waitMs(network);
    if (waitMs > 0 && tenant?.network !== network) throw guessed(waitMs);
    if (tenant === undefined) {
      this.#wrong.note(network);
      throw new Fault('unauthorized', 'Incorrect API key provided.');
    }
    tenant.network = network;
    return tenant;
  }
}

function guessed(waitMs: number): Fault {
  const retryAfterS = Math.max(1, Math.ceil(waitMs / 1000));
  const text = `Too many incorrect API keys came from this address. Try again in ${retryAfterS} s.`;
  return new Fault('rate_limit', text, { retryAfterS });
}

/** `Authorization: Bearer` goes before `X-Api-Key`. */
function keyIn(headers: Headers): string | null {
  const bearer = /^bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '')?.[1];
  return bearer ?? headers.get('x-api-key')?.trim() ?? null;
}

/** Index of `wanted` among `all`, −1 for none. No branch depends on what is compared. */
export function indexOfDigest(all: Uint8Array, wanted: Uint8Array): number {
  let found = -1;
  for (let index = 0; index * digestBytes < all.length; index++) {
    let difference = 0;
    for (let at = 0; at < digestBytes; at++) {
      difference |= (all[index * digestBytes + at] ?? 0) ^ (wanted[at] ?? 0);
    }
    const isEqual = (difference - 1) >> 31; // all ones where nothing differs, else 0
    found = (found & ~isEqual) | (index & isEqual);
  }
  return found;
}
