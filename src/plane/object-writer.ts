// Publishes an object's chunks, pipelined: a window of bytes is under way, acknowledgements come to one
// inbox and are counted. Says when everything is stored, when the bucket is full, and when nothing of it
// can arrive any more, which is when its chunks can be purged.

import { toFault } from '../std/fault.ts';
import { sha256 } from '../std/hash.ts';
import type { CallScope } from './call-scope.ts';
import { isFull, type JetStream } from './jetstream.ts';
import { base64Url } from './object-layout.ts';
import type { RawMessage } from './raw-plane.ts';

/**
 * Bytes of one put that are published and not yet acknowledged. 1, 2 and 4 MiB are equally fast over
 * loopback; 2 fill 16 Gbit/s at a millisecond's distance, and hold the event loop for 2 ms at most.
 */
const windowBytes = 2 * 1024 * 1024;

export type ChunkWriteOptions = {
  readonly jetStream: JetStream;
  readonly scope: CallScope;
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly chunkBytes: number;
};

export class ChunkWriter {
  readonly #options: ChunkWriteOptions;
  readonly #hash = sha256();
  #sentCount = 0;
  #ackedCount = 0;
  #isFull = false;
  #onAck: () => void = () => undefined;
  #end: () => void = () => undefined;

  constructor(options: ChunkWriteOptions) {
    this.#options = options;
  }

  get chunkCount(): number {
    return Math.ceil(this.#options.bytes.byteLength / this.#options.chunkBytes);
  }

  /** SHA-256, base64url, of all that `write` has sent; to be asked once. */
  finish(): string {
    return base64Url(this.#hash.digest());
  }

  /** Chunks may have come to the server. */
  get hasSent(): boolean {
    return this.#sentCount > 0;
  }

  get #inFlightCount(): number {
    return this.#sentCount - this.#ackedCount;
  }

  async write(): Promise<'stored' | 'full'> {
    const { jetStream, scope, subject, bytes, chunkBytes } = this.#options;
    const inFlightMax = Math.max(1, Math.floor(windowBytes / chunkBytes));
    const onReply = (message: RawMessage) => this.#acknowledge(message);
    const onRefused = () => this.#refused();
    const { reply, end } = jetStream.expect({ subject, scope, onReply, onRefused });
    this.#end = end;
    for (let at = 0; at < bytes.byteLength && !this.#isFull; at += chunkBytes) {
      if (this.#inFlightCount >= inFlightMax) await this.#fewerThan(inFlightMax, scope);
      scope.check();
      const chunk = bytes.subarray(at, at + chunkBytes);
      jetStream.link.publish(subject, chunk, { reply });
      this.#sentCount += 1;
      this.#hash.update(chunk); // while the server stores it
    }
    await this.#fewerThan(1, scope);
    return this.#isFull ? 'full' : 'stored';
  }

  /** Waits until the server has answered every chunk: until then a purge would come too early. */
  async settle(scope: CallScope): Promise<void> {
    await this.#fewerThan(1, scope);
  }

  /** Late acknowledgements mean nothing from now on. */
  end(): void {
    this.#end();
  }

  async #fewerThan(count: number, scope: CallScope): Promise<void> {
    await scope.wait<void>((resolve) => {
      this.#onAck = () => {
        if (this.#inFlightCount < count) resolve();
      };
      this.#onAck();
      return undefined;
    });
  }

  /** None of them has arrived, and none will be answered. */
  #refused(): void {
    this.#sentCount = this.#ackedCount;
    this.#onAck();
  }

  #acknowledge(message: RawMessage): void {
    const { jetStream, scope } = this.#options;
    this.#ackedCount += 1;
    try {
      const { error } = jetStream.read(message, scope);
      if (error !== null && isFull(error)) this.#isFull = true;
      else if (error !== null) scope.fail(jetStream.refusal(error, scope));
    } catch (error) {
      scope.fail(toFault(error));
    }
    this.#onAck();
  }
}
