// Puts an object together from the messages of a push consumer, pure: each chunk is copied to its place
// and hashed as it comes, in the order that JetStream numbers them; anything missing or beyond is a Fault
// at once. Hashing on a thread of its own (WebCrypto) was slower on two cores: it copies all bytes first.

import { sha256 } from '../std/hash.ts';
import { flaw } from './call-scope.ts';
import { base64Url } from './object-layout.ts';
import type { ObjectInfo } from './object-store.ts';
import type { RawMessage } from './raw-plane.ts';

export class Assembly {
  readonly #info: ObjectInfo;
  readonly #chunkBytesMax: number;
  readonly #what: string;
  #bytes: Uint8Array<ArrayBuffer> | null = null;
  readonly #hash = sha256();
  #at = 0;
  #count = 0;

  constructor(
    info: ObjectInfo,
    options: { readonly chunkBytesMax: number; readonly what: string },
  ) {
    this.#info = info;
    this.#chunkBytesMax = options.chunkBytesMax;
    this.#what = options.what;
  }

  /** What has been put together; whole, with the right digest, when `take` has said so. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes ?? new Uint8Array(0);
  }

  /** True when this was the last chunk. `respond` answers the server's flow control. */
  take(message: RawMessage, respond: (reply: string) => void): boolean {
    if (message.headers?.code === 100) {
      this.#control(message, respond);
      return false;
    }
    const { delivered, pending } = deliveryOf(message.reply ?? '');
    const { chunkCount } = this.#info;
    if (delivered !== this.#count + 1) {
      throw this.#truncated(`chunk ${delivered} came after chunk ${this.#count}`);
    }
    if (delivered + pending !== chunkCount) {
      throw this.#truncated(`${delivered + pending} chunks are there, wanted ${chunkCount}`);
    }
    this.#copy(message.data);
    this.#count = delivered;
    if (delivered < chunkCount) return false;
    if (this.#at !== this.#info.bytes) {
      throw this.#truncated(`${this.#at} bytes are there, wanted ${this.#info.bytes}`);
    }
    this.#checkDigest();
    return true;
  }

  #checkDigest(): void {
    const found = base64Url(this.#hash.digest());
    const wanted = this.#info.digest;
    if (found === wanted) return;
    throw flaw('corrupt', `${this.#what}: its digest is ${found}, wanted ${wanted}`);
  }

  #copy(data: Uint8Array): void {
    const { bytes } = this.#info;
    if (this.#at + data.byteLength > bytes) {
      throw this.#truncated(`more than the ${bytes} bytes that its info tells of are there`);
    }
    this.#bytes ??= this.#allocate();
    this.#bytes.set(data, this.#at);
    this.#hash.update(data);
    this.#at += data.byteLength;
  }

  /** Not more than so many messages can bring, whatever the info claims. Every byte gets overwritten. */
  #allocate(): Uint8Array<ArrayBuffer> {
    const { bytes, chunkCount } = this.#info;
    if (bytes > chunkCount * this.#chunkBytesMax) {
      throw this.#truncated(`${chunkCount} chunks cannot hold ${bytes} bytes`);
    }
    return new Uint8Array(bytes);
  }

  #control(message: RawMessage, respond: (reply: string) => void): void {
    const { reply = '', headers } = message;
    const stalled = headers?.get('Nats-Consumer-Stalled') ?? '';
    if (reply !== '') respond(reply);
    else if (stalled !== '') respond(stalled);
    else throw this.#truncated(`${this.#count} chunks came, wanted ${this.#info.chunkCount}`);
  }

  #truncated(found: string): Error {
    return flaw('truncated', `${this.#what}: ${found}`);
  }
}

/**
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>`, in
 * newer servers with domain and account behind `ACK`.
 */
function deliveryOf(reply: string): { readonly delivered: number; readonly pending: number } {
  const tokens = reply.split('.');
  const shift = tokens.length > 9 ? 2 : 0;
  return { delivered: Number(tokens[6 + shift]), pending: Number(tokens[8 + shift]) };
}
