// A rewritten graph into the folder that will be its place in the cache. Data files are linked: ONNX
// Runtime refuses a symbolic link that leads out of the folder, but takes a hard link. Where none can be
// made (another file system, files of somebody else), the data is copied, by the system and without
// passing through our memory.

import { constants, copyFileSync, linkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Foreign } from './open.ts';
import { linkName, weightsFile } from './serialize.ts';

/** Of a write: what is mapped is brought in so much at a time. */
const pieceBytes = 8 * 2 ** 20;

/** @param open makes a file of so many bytes, with room for all of them. */
export function writeForeign(
  { file, dataPaths }: Foreign,
  folder: string,
  open: (path: string, bytes: number) => Disposable & { readonly fd: number },
): void {
  for (const [index, path] of dataPaths.entries()) place(path, join(folder, linkName(index)));
  if (file.movedBytes > 0) {
    using data = open(join(folder, weightsFile), file.movedBytes);
    for (const { bytes, offset } of file.moved) {
      for (let at = 0; at < bytes.byteLength; at += pieceBytes) {
        const piece = bytes.subarray(at, at + pieceBytes);
        for (let done = 0; done < piece.byteLength; ) {
          done += writeSync(data.fd, piece, done, piece.byteLength - done, offset + at + done);
        }
      }
    }
  }
  writeFileSync(join(folder, 'model.onnx'), file.model);
}

function place(path: string, at: string): void {
  try {
    linkSync(path, at);
  } catch {
    copyFileSync(path, at, constants.COPYFILE_FICLONE);
  }
}
