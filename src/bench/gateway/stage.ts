// The processes of the gateway's benchmark: nats-server, the echo worker, and the gateway as users run
// it, bound to one core where `taskset` is there; the others have the rest.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { embeddedNatsServer } from '../../plane/embedded-nats.ts';
import { selfCommand } from '../../plane/guard.ts';
import { startNatsServer } from '../../plane/server.ts';
import { supervisedEnv } from '../../role/parent.ts';
import { Fault } from '../../std/fault.ts';
import { silentLog } from '../../telemetry/log.ts';

export type Stage = AsyncDisposable & {
  readonly url: string;
  readonly isPinned: boolean;
  /** CPU time that the gateway has used, milliseconds. */
  cpuMs(): number;
  residentBytes(): number;
};

/** As `getconf CLK_TCK` says on every Linux of today. */
const ticksPerS = 100;

export async function openStage(): Promise<Stage> {
  await using ends = new AsyncDisposableStack();
  const isPinned = await leaveFirstCore();
  const folder = mkdtempSync(join(tmpdir(), 'tdist-bench-'));
  ends.defer(() => rmSync(folder, { recursive: true, force: true }));
  const nats = await startNatsServer({
    uri: 'nats://127.0.0.1:0',
    log: silentLog,
    storeRoot: folder,
    cacheDir: folder,
    embedded: embeddedNatsServer,
  });
  ends.defer(() => nats.stop());
  const uri = `nats://127.0.0.1:${nats.port}`;
  const worker = start([...selfCommand(), 'bench', 'gateway', '--worker', uri], folder);
  ends.defer(() => end(worker));
  const gateway = start(
    [
      ...(isPinned ? ['taskset', '--cpu-list', '0'] : []),
      ...selfCommand(),
      '--role=api',
      '--namespace=bench',
      `--request-plane-uri=${uri}`,
      '--api-server-port=0',
    ],
    folder,
  );
  ends.defer(() => end(gateway));
  const url = await urlOf(gateway);
  await untilReady(url, gateway);
  const stat = (): string => readFileSync(`/proc/${gateway.pid}/stat`, 'utf8');
  const owned = ends.move();
  return {
    url,
    isPinned,
    cpuMs: () => {
      const fields = stat()
        .slice(stat().lastIndexOf(')') + 2)
        .split(' ');
      return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerS;
    },
    residentBytes: () =>
      Number(
        stat()
          .slice(stat().lastIndexOf(')') + 2)
          .split(' ')[21],
      ) * 4096,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** This process, and so its children, keep off core 0. False where that cannot be had. */
async function leaveFirstCore(): Promise<boolean> {
  const count = availableParallelism();
  if (count < 2 || Bun.which('taskset') === null) return false;
  const command = ['taskset', '--all-tasks', '--cpu-list', '--pid', `1-${count - 1}`];
  const child = Bun.spawn([...command, String(process.pid)], { stdout: 'ignore' });
  return (await child.exited) === 0;
}

type Child = Bun.Subprocess<'ignore', 'pipe', 'inherit'>;

function start(command: readonly string[], folder: string): Child {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('TDIST_')),
  );
  return Bun.spawn([...command], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
    env: supervisedEnv({ ...env, XDG_CACHE_HOME: folder } as Record<string, string>),
  });
}

async function end(child: Child): Promise<void> {
  child.kill('SIGKILL');
  await child.exited;
}

/** Its address; what it prints afterwards is read and thrown away. */
function urlOf(child: Child): Promise<string> {
  return new Promise((resolve, reject) => {
    const read = async (): Promise<void> => {
      let text = '';
      let isFound = false;
      for await (const bytes of child.stdout) {
        if (isFound) continue;
        text += new TextDecoder().decode(bytes);
        const [, url] = /Listening on (\S+)\n/.exec(text) ?? [];
        if (url === undefined) continue;
        isFound = true;
        resolve(url);
      }
      reject(new Fault('internal', `the gateway ended: ${text.slice(-500)}`));
    };
    read().catch(reject);
  });
}

async function untilReady(url: string, child: Child): Promise<void> {
  while (child.exitCode === null) {
    const response = await fetch(`${url}/health`);
    await response.arrayBuffer();
    if (response.ok) return;
    await Bun.sleep(10);
  }
  throw new Fault('internal', `the gateway ended with exit code ${child.exitCode}`);
}
