// What may not stay: looked for when nobody asks for anything. Work and KV that workers hold or have lent
// out, arenas whose worker is gone, processes that nobody knows of; and, when all workers have ended,
// objects in NATS that are older than they may become.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import * as v from 'valibot';
import { arenaPrefix, shmFolder } from '../../kv/arena.ts';
import { openNatsBus } from '../../plane/nats.ts';
import { limit } from '../../protocol/limit.ts';
import { silentLog } from '../../telemetry/log.ts';
import { markName, type Stage } from './stage.ts';
import { busyWith, readWorkers } from './worker-list.ts';

/** Of a gateway that was killed, workers give the work up after that time; leases end before. */
const quietMs = limit.gatewaySilenceMs + limit.leaseMs + 10_000;
const askEveryMs = 100;
const askMs = 5000;

/** What is left after everything had its time to go; one line each. */
export async function findLeaks(stage: Stage): Promise<readonly string[]> {
  return await lastOf(() => leaksNow(stage), quietMs);
}

async function leaksNow(stage: Stage): Promise<readonly string[]> {
  const work: string[] = [];
  for (const { url, member } of stage.gateways) {
    if (!member.isRunning) continue;
    for (const worker of await readWorkers(url)) {
      const busy = busyWith(worker);
      if (busy !== '') work.push(`${worker.id} has ${busy}`);
    }
  }
  return [...new Set(work), ...strayArenas(stage), ...strayProcesses(stage)];
}

function strayArenas({ workers, workerIds }: Stage): readonly string[] {
  const alive = new Set(workers.filter(({ member }) => member.isRunning).map(({ id }) => id));
  return [...workerIds]
    .filter((id) => !alive.has(id))
    .map((id) => `${shmFolder}/${arenaPrefix}${id}`)
    .filter((path) => existsSync(path));
}

function strayProcesses(stage: Stage): readonly string[] {
  const known = new Set([process.pid, ...stage.members().map(({ pid }) => pid)]);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && !known.has(Number(name)))
    .filter((pid) => `\0${procText(pid, 'environ')}`.includes(`\0${markName}=${stage.mark}\0`))
    .map((pid) => `process ${pid}: ${procText(pid, 'cmdline').replaceAll('\0', ' ')}`);
}

/** Empty where the process ends while we look. */
function procText(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}

const streamsSchema = v.object({
  streams: v.nullish(
    v.array(
      v.object({
        config: v.object({ name: v.string() }),
        state: v.object({ messages: v.number() }),
      }),
    ),
  ),
});

/** To be called when all workers have ended: nobody may still want an object. */
export async function findObjects(stage: Stage, ttlMs: number): Promise<readonly string[]> {
  const uris = [stage.plane.uri];
  const bus = openNatsBus({ uris, name: 'tdist bench', log: silentLog });
  try {
    return await lastOf(async () => {
      const asked = bus.request('$JS.API.STREAM.LIST', new Uint8Array(0), { timeoutMs: askMs });
      const reply: unknown = JSON.parse(new TextDecoder().decode(await asked));
      return (v.parse(streamsSchema, reply).streams ?? [])
        .filter(({ state }) => state.messages > 0)
        .map(({ config, state }) => `${config.name} has ${state.messages} messages`);
    }, ttlMs + limit.claimKeepMs);
  } finally {
    await bus.close();
  }
}

/** Empty as soon as it is; else what it is when time is up, a failure to look included. */
async function lastOf(
  look: () => Promise<readonly string[]>,
  limitMs: number,
): Promise<readonly string[]> {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const found = await look().catch((error: unknown) => [String(error)]);
    if (found.length === 0 || performance.now() > endMs) return found;
    await Bun.sleep(askEveryMs);
  }
}
