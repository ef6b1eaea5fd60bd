// A worker on the request plane: announces itself, serves its role's operations as the micro service
// `tdist-<role>`, and drains. A message that cannot be read is refused, never a crash. What happens to
// an accepted request is plane/worker-jobs.ts's.

import type { KvPaths } from '../kv/transfer.ts';
import type { EnginePort } from '../protocol/engine.ts';
import {
  type Ack,
  abortSchema,
  announceSchema,
  type Card,
  type ControlAction,
  controlSchema,
  generateSchema,
  type Heartbeat,
  handoverSchema,
  type KvPathChoice,
  pauseSchema,
  prefillSchema,
  protocolVersion,
  type WorkerOp,
  type WorkerRole,
} from '../protocol/message.ts';
import { subjects as subjectsOf } from '../protocol/subject.ts';
import type { Clock } from '../std/clock.ts';
import { toFault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import type { Bus, Endpoint } from './bus.ts';
import { decode, encode } from './codec.ts';
import { watchGateways } from './gateways.ts';
import { startHeartbeat } from './heartbeat.ts';
import { no, yes } from './job.ts';
import { type AssetFiles, assetReply } from './worker-assets.ts';
import { WorkerJobs } from './worker-jobs.ts';

export type WorkerState = 'starting' | 'ready' | 'draining';

export type WorkerOptions = {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly namespace: string;
  /** Instance id, new at every start: `[A-Za-z0-9_-]{1,64}`. */
  readonly workerId: string;
  readonly role: WorkerRole;
  readonly card: Card;
  /** Equal for processes that can map each other's shared memory. */
  readonly host: string;
  readonly pid: number;
  /** Version of this program: `1.2.3`. */
  readonly build: string;
  readonly engine: EnginePort;
  /** How KV gets from worker to worker. */
  readonly kv: KvPaths;
  /** `--kv-path`. */
  readonly kvPath: KvPathChoice;
  /** Whether that worker's shared memory can be read here. */
  readonly sees: (worker: string) => boolean;
  /** Whether the object store can be used now. */
  readonly objects: () => boolean;
  readonly assets: AssetFiles;
};

export type WorkerNode = {
  /** Tells everybody its state once more: something that heartbeats carry has changed. */
  announce(): void;
  /** Resolves when it has announced itself as ready: requests may come. */
  readonly registered: Promise<void>;
  /** Begins as `starting`. Requests are taken while `ready`. */
  setState(state: WorkerState): void;
  /** Refuses what is new, waits for what runs (at most so long, then ends it), says goodbye. */
  drain(timeoutMs: number): Promise<void>;
  /** Says goodbye and leaves the plane; the bus stays open. */
  close(): Promise<void>;
  /** Requests that it has now. */
  jobCount(): number;
};

const opsOf: Readonly<Record<WorkerRole, readonly WorkerOp[]>> = {
  context: ['prefill', 'abort', 'asset', 'control'],
  generate: ['generate', 'announce', 'handover', 'abort', 'pause', 'asset', 'control'],
  baseline: ['generate', 'abort', 'pause', 'asset', 'control'],
};

export function createWorkerNode(options: WorkerOptions): WorkerNode {
  const { bus, clock, log, workerId, role, card, host, pid, build, engine, assets } = options;
  const subjects = subjectsOf(options.namespace);
  let state: Heartbeat['state'] = 'starting';
  let idle: (() => void) | null = null;
  let stopping = false;
  const startMs = clock.nowMs();

  const snapshot = (): Heartbeat => ({
    v: protocolVersion,
    type: 'heartbeat',
    worker: workerId,
    role,
    state,
    host,
    kvPath,
    objects: options.objects(),
    pid,
    build,
    card,
    load: engine.load(),
    jobs: jobs.count,
    upMs: Math.floor(clock.nowMs() - startMs),
  });
  const onIdle = () => {
    if (state === 'draining') void heartbeat.announce(); // somebody waits for it to be safe to stop
    idle?.();
  };
  const { kv, kvPath, sees } = options;
  const { kvDtype } = card;
  const jobs = new WorkerJobs({
    bus,
    clock,
    log,
    subjects,
    engine,
    kv,
    sees,
    kvDtype,
    workerId,
    onIdle,
  });

  const closedFor = (): Ack | null => {
    if (state === 'ready') return null;
    const code = state === 'draining' ? 'draining' : 'no_worker';
    return no(code, `worker ${workerId} is ${state}`);
  };
  const control = async (action: ControlAction): Promise<Ack> => {
    const next = action === 'drain' ? 'draining' : 'ready';
    if (state === next) return yes;
    if (stopping || state === 'starting' || state === 'gone') {
      return no('no_worker', `worker ${workerId} is ${stopping ? 'stopping' : state}`);
    }
    log.info(action === 'drain' ? 'Draining on request' : 'Taking work again', {
      running: jobs.count,
    });
    await enter(next); // who reads the answer may look at the heartbeat at once
    return yes;
  };
  const answerOf: Readonly<
    Record<Exclude<WorkerOp, 'asset'>, (payload: Uint8Array) => Ack | Promise<Ack>>
  > = {
    generate: (payload) => {
      const message = decode(generateSchema, payload, 'generate');
      return closedFor() ?? jobs.generate(message);
    },
    prefill: (payload) => {
      const message = decode(prefillSchema, payload, 'prefill');
      return closedFor() ?? jobs.prefill(message);
    },
    announce: (payload) => jobs.announce(decode(announceSchema, payload, 'announce')),
    handover: (payload) => jobs.handover(decode(handoverSchema, payload, 'handover')),
    abort: (payload) => jobs.abort(decode(abortSchema, payload, 'abort').requestId),
    pause: (payload) => jobs.pause(decode(pauseSchema, payload, 'pause')),
    control: (payload) => control(decode(controlSchema, payload, 'control').action),
  };
  const endpoint = (op: WorkerOp): Endpoint => ({
    name: op,
    subject: subjects.worker(workerId, op),
    handle: async (payload) => {
      if (op === 'asset') return assetReply(assets, payload, bus.maxPayloadBytes);
      try {
        return encode(await answerOf[op](payload));
      } catch (error) {
        const fault = toFault(error);
        log.warn('Message refused', { op, code: fault.code, reason: fault.message });
        return encode(no(fault.code, fault.message));
      }
    },
  });

  const service = bus.serve({
    name: `tdist-${role}`,
    version: build,
    description: `tdist ${role} worker of model ${card.model}`,
    metadata: { worker: workerId, role, model: card.model, host, pid: String(pid) },
    endpoints: opsOf[role].map(endpoint),
  });
  const registered = Promise.withResolvers<void>();
  const onSent = (sent: Heartbeat) => {
    if (sent.state === 'ready') registered.resolve();
  };
  const heartbeat = startHeartbeat({ bus, clock, log, subjects, snapshot, onSent });
  const abort = (gateway: string, isSilent: boolean) => jobs.abortOf(gateway, isSilent);
  const gateways = watchGateways({ bus, clock, log, subjects, abort });

  const enter = async (next: Heartbeat['state']) => {
    if (state === 'gone' || next === state) return;
    state = next;
    return heartbeat.announce();
  };
  const close = async () => {
    await enter('gone');
    await heartbeat.stop();
    await gateways.stop();
    await service.stop();
  };
  const drain = async (timeoutMs: number) => {
    stopping = true;
    await enter('draining');
    if (jobs.count > 0) {
      log.info('Draining', { running: jobs.count });
      await new Promise<void>((resolve) => {
        const timer = clock.after(timeoutMs, resolve);
        idle = () => {
          timer.cancel();
          resolve();
        };
      });
      idle = null;
    }
    if (jobs.count > 0) {
      log.warn('Drain time is over, ending what still runs', { running: jobs.count, timeoutMs });
      jobs.failAll('draining', `worker ${workerId} was stopped before the end`);
    }
    await close();
  };
  const setState = (next: WorkerState) => {
    void enter(next);
  };
  return {
    registered: registered.promise,
    setState,
    drain,
    close,
    jobCount: () => jobs.count,
    announce: () => void heartbeat.announce(),
  };
}
