// What a download asks of the disk, as a port: tests have theirs run full.

import { statfsSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

export type Disk = {
  /** For this user, where that folder lies. */
  freeBytes(folder: string): number;
  write(file: FileHandle, bytes: Uint8Array, position: number): Promise<void>;
};

export const realDisk: Disk = {
  freeBytes(folder) {
    try {
      const { bavail, bsize } = statfsSync(folder);
      return bavail * bsize;
    } catch {
      return Number.POSITIVE_INFINITY; // a file system that does not say: writing will tell
    }
  },
  async write(file, bytes, position) {
    for (let at = 0; at < bytes.byteLength; ) {
      const { bytesWritten } = await file.write(bytes, at, bytes.byteLength - at, position + at);
      at += bytesWritten;
    }
  },
};
