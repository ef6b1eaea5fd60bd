// Supervisors: `--role all` (request plane, gateway and workers) and a worker count above 1 (workers
// of one kind). Children are this same executable; what they print goes where our own lines go.

import { availableParallelism } from 'node:os';
import type { CommonConfig, WorkerConfig } from '../cli/config.ts';
import type { RoleIo } from '../cli/role-io.ts';
import { sweepArenas } from '../kv/janitor.ts';
import { selfCommand } from '../plane/guard.ts';
import { type WorkerRole, workerRoles } from '../protocol/message.ts';
import { realClock } from '../std/clock.ts';
import { Children } from './children.ts';
import { placeModel } from './model-place.ts';
import { bindToSupervisor, supervisedEnv } from './parent.ts';
import { startPlane } from './plane.ts';
import { stopSignal } from './signals.ts';

/** `--role context --context-worker-count 3` and the like. */
export async function superviseWorkers(config: WorkerConfig, io: RoleIo): Promise<number> {
  bindToSupervisor();
  const counts = { context: 0, generate: 0, baseline: 0, [config.kind]: config.workerCount };
  return await supervise(config, io, {
    counts,
    modelName: config.modelName,
    initializePlane: config.initializePlane,
    isPlanePrivate: false, // gateway and other workers come with the plain address
    memoryShare: config.memoryShare,
    firstIndex: config.workerIndex,
    api: null,
    ready: null,
  });
}

export type Plan = {
  readonly counts: Readonly<Record<WorkerRole, number>>;
  /** What the workers load. */
  readonly modelName: string;
  readonly initializePlane: boolean;
  /** All clients of our nats-server are our children. */
  readonly isPlanePrivate: boolean;
  /** What is said to do where our nats-server's port is taken; left out: as after the flag for it. */
  readonly joining?: string;
  /** Of the machine's memory, for all workers together. */
  readonly memoryShare: number;
  /** Number of the first worker. */
  readonly firstIndex: number;
  /** The gateway's own flags; null: no gateway. */
  readonly api: readonly string[] | null;
  /** Waits until the whole can serve; ended by the signal. Null: nobody here can tell. */
  readonly ready: ((uris: readonly string[], signal: AbortSignal) => Promise<void>) | null;
};

export async function supervise(config: CommonConfig, io: RoleIo, plan: Plan): Promise<number> {
  const { log } = io;
  const stop = stopSignal(log);
  sweepArenas();
  const place = await placeModel(plan.modelName, { io, part: 'model', stop });
  if (place === null) return 0; // asked to end while it came
  const { isPlanePrivate: isPrivate, joining } = plan;
  const server = plan.initializePlane
    ? await startPlane(config, log, { isPrivate, joining })
    : null;
  const children = new Children({ clock: realClock, log });
  const uris = server === null ? config.planeUris : [server.uri];
  startChildren(children, uris, io, { ...plan, modelName: place.name });
  const started = new AbortController();
  plan.ready?.(uris, started.signal).then(
    () => children.settle(),
    (reason: unknown) => log.debug('not waiting for readiness any longer', { why: String(reason) }),
  );
  log.say('Workers started ... press Ctrl-C to Exit');
  const neverEnds = new Promise<never>(() => undefined);
  const failure = await Promise.race([
    stop.then(() => null),
    children.firstFailure(),
    server === null ? neverEnds : server.crashed,
  ]);
  started.abort();
  if (failure !== null) log.error(failure);
  // The gateway finishes its streams first: it needs the workers for that, and all need the plane.
  await children.stop((name) => name === 'api', config.drainTimeoutMs);
  await children.stop(() => true, config.drainTimeoutMs);
  await server?.stop();
  sweepArenas(); // of children that were killed: there is no next start of theirs
  return failure === null ? 0 : 1;
}

function startChildren(children: Children, uris: readonly string[], io: RoleIo, plan: Plan): void {
  const self = selfCommand();
  // By the environment: an address may hold a password, and arguments are everybody's to read.
  const env = {
    ...supervisedEnv(io.childEnv),
    TDIST_REQUEST_PLANE_URI: uris.join(','),
  };
  if (plan.api !== null) {
    const command = [...self, '--role=api', ...io.childFlags('api'), ...plan.api];
    children.start({ name: 'api', command, env: { ...env, ...io.childSecrets('api') } });
  }
  const kinds = workerRoles.flatMap((role) => new Array<WorkerRole>(plan.counts[role]).fill(role));
  const threads = Math.max(1, Math.floor(availableParallelism() / kinds.length));
  for (const [index, role] of kinds.entries()) {
    const given = io
      .childFlags(role)
      .filter((flag) => !/^--(gpu-memory-utilization|model-name)=/.test(flag));
    const hasThreads = given.some((flag) => flag.startsWith('--threads'));
    children.start({
      name: `${role}-${index}`,
      command: [
        ...self,
        `--role=${role}`,
        ...given,
        `--model-name=${plan.modelName}`, // downloaded once, and the same for all
        // They share the machine's memory, so each gets its part of the share.
        `--gpu-memory-utilization=${(plan.memoryShare / kinds.length).toFixed(4)}`,
        ...(hasThreads ? [] : [`--threads=${threads}`]),
      ],
      env: { ...env, TDIST_WORKER_ID: String(plan.firstIndex + index) },
    });
  }
}
