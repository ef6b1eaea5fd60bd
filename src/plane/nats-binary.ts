// Where nats-server is: the one inside our executable, written once into a cache folder under the
// name of its digest, else one that is installed. We never download it.

import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { writeCached } from '../std/cached-file.ts';
import { Fault } from '../std/fault.ts';
import { digest } from '../std/hash.ts';
import { embeddedNatsServer } from './embedded-nats.ts';

export type BinarySearch = {
  /** Given by hand; nothing else is tried then. */
  readonly binary?: string | undefined;
  /** Path of the copy inside the executable; `plane/embedded-nats.ts` knows unless told. */
  readonly embedded?: string | null;
  /** Where the embedded one is written to, once. */
  readonly cacheDir: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
};

/** Throws a Fault `config` that tells how to get it. */
export async function findNatsServer(search: BinarySearch): Promise<string> {
  const environment = search.environment ?? process.env;
  const named = search.binary ?? environment['TDIST_NATS_SERVER'];
  if (named !== undefined && named !== '') {
    if (isExecutable(named)) return named;
    throw new Fault('config', `nats-server: ${named} is no executable file`);
  }
  const embedded = search.embedded === undefined ? embeddedNatsServer : search.embedded;
  if (embedded !== null) return await extract(embedded, search.cacheDir);
  const folders = (environment['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const places = [...folders, '/usr/sbin', 'build/nats/usr/sbin'];
  const found = places.map((folder) => join(folder, 'nats-server')).find(isExecutable);
  if (found !== undefined) return found;
  throw new Fault(
    'config',
    'nats-server was not found on PATH, in /usr/sbin or in this executable; get it (Debian: apt-get install nats-server) or name it in TDIST_NATS_SERVER',
  );
}

async function extract(embedded: string, cacheDir: string): Promise<string> {
  const bytes = await Bun.file(embedded).bytes();
  const path = join(cacheDir, `nats-server-${digest(bytes).slice(0, 16)}`);
  if (existsSync(path) && Bun.file(path).size === bytes.byteLength) return path;
  await writeCached(path, { what: 'nats-server', content: bytes, mode: 0o755 });
  return path;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
