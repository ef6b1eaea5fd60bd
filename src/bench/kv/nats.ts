// A nats-server for one measurement: a free port, a store of its own, gone afterwards.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startNatsServer } from '../../plane/server.ts';
import { cacheDir } from '../../role/cache-dir.ts';
import { silentLog } from '../../telemetry/log.ts';

export async function withNatsServer<T>(work: (uri: string) => Promise<T>): Promise<T> {
  const storeRoot = mkdtempSync(join(tmpdir(), 'tdist-bench-'));
  try {
    const server = await startNatsServer({
      uri: 'nats://127.0.0.1:0',
      log: silentLog,
      storeRoot,
      cacheDir: cacheDir(),
    });
    try {
      return await work(server.uri);
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(storeRoot, { recursive: true, force: true });
  }
}
