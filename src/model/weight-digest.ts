// SHA-256 of a weight file's content, which takes a second for each GiB or two: so what was found is kept
// in the cache folder, under what tells that the file is still the same one (place on disk, size, times
// to the nanosecond). Read in pieces: a file is never in memory whole.

import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { digest, sha256 } from '../std/hash.ts';

const pieceBytes = 4 * 2 ** 20;

/** @param cacheDir null: nothing is kept, nor believed. */
export function contentDigest(
  from: { readonly bytes: Uint8Array } | { readonly path: string },
  cacheDir: string | null,
): string {
  if ('bytes' in from) return digest(from.bytes);
  if (cacheDir === null) return hashFile(from.path);
  const { dev, ino, size, mtimeNs, ctimeNs } = statSync(from.path, { bigint: true });
  const key = digest([dev, ino, size, mtimeNs, ctimeNs].join());
  const kept = join(cacheDir, 'digests', key.slice(0, 32));
  const known = readKept(kept);
  if (known !== null) return known;
  const found = hashFile(from.path);
  keep(join(cacheDir, 'digests'), kept, found);
  return found;
}

function hashFile(path: string): string {
  const hasher = sha256();
  const buffer = new Uint8Array(pieceBytes);
  const fd = openSync(path, 'r');
  try {
    for (;;) {
      const count = readSync(fd, buffer, 0, pieceBytes, null);
      if (count === 0) return hasher.digest('hex');
      hasher.update(buffer.subarray(0, count));
    }
  } finally {
    closeSync(fd);
  }
}

function readKept(path: string): string | null {
  try {
    const text = readFileSync(path, 'utf8');
    return /^[0-9a-f]{64}$/.test(text) ? text : null;
  } catch {
    return null; // not yet there
  }
}

/** Whole or not at all; where it cannot be written, the next start hashes again. */
function keep(folder: string, path: string, found: string): void {
  const partial = `${path}.${process.pid}`;
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(partial, found);
    renameSync(partial, path);
  } catch {
    if (existsSync(partial)) rmSync(partial, { force: true });
  }
}
