// `ETAG.incomplete`: what has come of a file so far, its size and its hash, over several tries and several
// processes. It becomes the blob by a rename once it is whole and hashes to what the hub says.

import { constants } from 'node:fs';
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import type { HubFile } from './client.ts';
import type { Disk } from './disk.ts';

const readBytes = 1 << 20;

export class Partial implements AsyncDisposable {
  readonly #file: HubFile;
  readonly #disk: Disk;
  readonly #path: string;
  readonly #handle: FileHandle;
  #hasher: Bun.CryptoHasher;
  #bytes = 0;
  /** Some of it came from an earlier try: a wrong hash may be that one's fault. */
  #isResumed = false;

  private constructor(file: HubFile, disk: Disk, path: string, handle: FileHandle) {
    this.#file = file;
    this.#disk = disk;
    this.#path = path;
    this.#handle = handle;
    this.#hasher = hasherOf(file);
  }

  /** To be called by who holds the blob's lock. */
  static async open(blobPath: string, file: HubFile, disk: Disk): Promise<Partial> {
    const path = `${blobPath}.incomplete`;
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o644);
    const partial = new Partial(file, disk, path, handle);
    try {
      await partial.#resume();
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
    return partial;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isResumed(): boolean {
    return this.#isResumed;
  }

  async append(bytes: Uint8Array): Promise<void> {
    await this.#disk.write(this.#handle, bytes, this.#bytes);
    this.#hasher.update(bytes);
    this.#bytes += bytes.byteLength;
  }

  /** Called when a try ends and another one goes on behind it. */
  resumed(): void {
    this.#isResumed = this.#bytes > 0;
  }

  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#hasher = hasherOf(this.#file);
    this.#bytes = 0;
    this.#isResumed = false;
  }

  /** Of the whole, once all is here. Can be asked once. */
  hash(): string {
    return this.#hasher.digest('hex');
  }

  /** On the disk before it has its name: a power cut leaves no blob of zeros. */
  async finish(blobPath: string): Promise<void> {
    await this.#handle.sync();
    await rename(this.#path, blobPath);
  }

  async remove(): Promise<void> {
    await unlink(this.#path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }

  async #resume(): Promise<void> {
    const { size } = await this.#handle.stat();
    if (size > this.#file.bytes) return await this.restart();
    const buffer = new Uint8Array(readBytes);
    while (this.#bytes < size) {
      const { bytesRead } = await this.#handle.read(buffer, 0, readBytes, this.#bytes);
      if (bytesRead === 0) break;
      this.#hasher.update(buffer.subarray(0, bytesRead));
      this.#bytes += bytesRead;
    }
    this.resumed();
  }
}

function hasherOf({ hash, bytes }: HubFile): Bun.CryptoHasher {
  if (hash === 'sha256') return new Bun.CryptoHasher('sha256');
  return new Bun.CryptoHasher('sha1').update(`blob ${bytes}\0`);
}
