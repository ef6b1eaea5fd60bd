// A real nats-server for tests: a free port, a store in a temporary folder, ended by its own pid.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bus } from '../../src/plane/bus.ts';
import { type NatsServer, startNatsServer } from '../../src/plane/server.ts';
import { realClock, withDeadline } from '../../src/std/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';

/** How these tests start the program again: a script in the place of `main`. */
export const guardSelf = [process.execPath, join(import.meta.dir, 'guard-main.ts')];

/** With one life: when a test kills it, it is dead. */
export function startTestNats(storeRoot: string, uri = 'nats://127.0.0.1:0'): Promise<NatsServer> {
  const one = { log: silentLog, cacheDir: storeRoot, storeRoot, self: guardSelf, bounds: null };
  return startNatsServer({ uri, ...one });
}

export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'tdist-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Resolves when the bus is connected (or, with `want` false, when it is not). */
export async function connected(bus: Bus, want = true): Promise<void> {
  const change = new Promise<void>((resolve) => {
    const look = () => {
      if ((bus.trouble() === null) === want) resolve();
    };
    bus.onTrouble(look);
    look();
  });
  const late = () => new Error(`bus: wanted connected=${want}, found ${bus.trouble()}`);
  await withDeadline(realClock, 10_000, change, late);
}
