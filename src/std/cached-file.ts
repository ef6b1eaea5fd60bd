// A file that is made once and kept in the cache folder: it appears whole, however many start at once, and
// where there is no room nothing of it stays behind.

import { chmodSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { Fault, toFault } from './fault.ts';

/** Throws a Fault `config` that names the folder and the mend. @param file.what it is, for the user. */
export async function writeCached(
  path: string,
  file: { readonly what: string; readonly content: Blob | Uint8Array; readonly mode: number },
): Promise<void> {
  const folder = dirname(path);
  const partial = `${path}.${process.pid}`;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    await Bun.write(partial, file.content);
    chmodSync(partial, file.mode);
    renameSync(partial, path);
  } catch (cause) {
    if (existsSync(partial)) rmSync(partial);
    throw new Fault(
      'config',
      `writing ${file.what} to ${folder}: ${toFault(cause).message}; ` +
        'free some space there or set XDG_CACHE_HOME to another folder',
      { cause },
    );
  }
}
