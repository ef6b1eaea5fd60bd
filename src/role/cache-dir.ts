// Where things are kept that can be made again: ONNX Runtime's library, built graphs, nats-server.

import { accessSync, constants, mkdirSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

/** $XDG_CACHE_HOME/tdist, ~/.cache/tdist, or, where neither can be written, one in the temp folder. */
export function cacheDir(): string {
  const wanted = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'tdist');
  if (isWritable(wanted)) return wanted;
  const user = process.getuid?.() ?? 0;
  const fallback = join(tmpdir(), `tdist-cache-${user}`);
  mkdirSync(fallback, { recursive: true, mode: 0o700 });
  return fallback;
}

function isWritable(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
