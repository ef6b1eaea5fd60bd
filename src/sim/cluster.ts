// The processes of one run, by their places in the deployment: started, ended and started again.

import type { EnginePort } from '../protocol/engine.ts';
import { limit } from '../protocol/limit.ts';
import { createLog } from '../telemetry/log.ts';
import { Dice } from './dice.ts';
import type { Ground } from './ground.ts';
import { SimHost } from './host.ts';
import type { Deployment, Scenario } from './scenario.ts';
import { SimServer } from './server.ts';
import { SimGateway } from './sim-gateway.ts';
import { SimWorker } from './sim-worker.ts';
import { type ObjectHarm, SimObjects } from './store.ts';
import type { Lane, World } from './world.ts';

export type ClusterHooks = {
  readonly onStep: (worker: SimWorker) => void;
  readonly onSeen: (what: string) => void;
  readonly onBug: (what: string) => void;
  readonly onHarm: (kind: ObjectHarm | 'twice' | 'late') => void;
  readonly wrapEngine?: (engine: EnginePort, worker: SimWorker) => EnginePort;
  /** Log lines go into the trace. */
  readonly isLogging: boolean;
};

export class SimCluster {
  readonly ground: Ground;
  readonly server: SimServer;
  readonly objects: SimObjects;
  readonly hosts: readonly SimHost[];
  readonly workers = new Map<string, SimWorker>();
  readonly gateways = new Map<string, SimGateway>();
  readonly #deployment: Deployment;
  /** Processes made so far. */
  readonly #made: SimWorker[] = [];
  #startCount = 0;

  constructor(world: World, scenario: Scenario, hooks: ClusterHooks) {
    const { deployment, seed } = scenario;
    this.#deployment = deployment;
    this.server = new SimServer(world, deployment.hasJetStream);
    this.server.onOddity = hooks.onHarm;
    this.objects = new SimObjects(world, new Dice(seed, 'objects'), hooks.onHarm);
    this.hosts = Array.from(
      { length: deployment.hostCount },
      (_, i) => new SimHost(`host-${i}`, 2 ** 30),
    );
    const logOf = (lane: Lane) =>
      createLog({
        level: hooks.isLogging ? 2 : 0,
        sink: (line) => world.note(line.slice(13)),
        name: lane.name,
      });
    this.ground = {
      world,
      dice: new Dice(seed, 'ground'),
      grammarDice: new Dice(seed, 'grammar threads'),
      server: this.server,
      objects: this.objects,
      namespace: 'sim',
      maxPayloadBytes: deployment.maxPayloadBytes,
      blockTokens: deployment.blockTokens,
      inboxDeltaMax: deployment.inboxDeltaMax,
      maxModelLen: deployment.maxModelLen,
      stepTokens: Math.min(deployment.stepTokens, limit.stepTokens),
      oddShare: scenario.oddShare,
      kvObject: {
        storage: 'memory',
        bytesMax: deployment.bucketBytesMax,
        ttlMs: deployment.bucketTtlMs,
        replicaCount: 1,
      },
      logOf,
      onStep: hooks.onStep,
      onSeen: hooks.onSeen,
      onBug: hooks.onBug,
      wrapEngine: hooks.wrapEngine ?? ((engine) => engine),
    };
  }

  start(): void {
    for (const { place } of this.#deployment.workers) this.startWorker(place);
    for (const { place } of this.#deployment.gateways) this.startGateway(place);
  }

  startWorker(place: string): void {
    const plan = this.#deployment.workers.find((one) => one.place === place);
    const host = this.hosts[plan?.host ?? 0];
    if (plan === undefined || host === undefined || this.workers.get(place)?.isAlive) return;
    const { paceMs, ...spec } = plan;
    const pace = { callMs: paceMs, tokenMs: paceMs / 8, rowMs: paceMs / 6 };
    const worker = new SimWorker(this.ground, { ...spec, host, pace }, this.#startCount++);
    this.ground.world.note(`${worker.id} started`);
    this.workers.set(place, worker);
    this.#made.push(worker);
  }

  startGateway(place: string): void {
    const spec = this.#deployment.gateways.find((one) => one.place === place);
    if (spec === undefined || this.gateways.get(place)?.isAlive) return;
    const gateway = new SimGateway(this.ground, spec, this.#startCount++);
    this.ground.world.note(`${gateway.id} started`);
    this.gateways.set(place, gateway);
  }

  /** The process at that place. */
  at(place: string): SimWorker | SimGateway | undefined {
    return this.workers.get(place) ?? this.gateways.get(place);
  }

  living(): readonly (SimWorker | SimGateway)[] {
    return [...this.workers.values(), ...this.gateways.values()].filter(({ isAlive }) => isAlive);
  }

  /** Everybody is there and known to everybody. */
  isReady(): boolean {
    const workers = [...this.workers.values()];
    const { nowMs } = this.ground.world;
    const isMoving = this.living().every(({ lane }) => lane.frozenUntilMs <= nowMs);
    return (
      isMoving &&
      [...this.gateways.values()].every(
        ({ client, isAlive }) =>
          isAlive &&
          client.unready() === null &&
          workers.every(({ id }) =>
            client.workers().some(({ worker, state }) => worker === id && state === 'ready'),
          ) &&
          client.workers().length === workers.length,
      )
    );
  }

  /** Of all engines there were. */
  preemptionCount(): number {
    const schedulers = this.#made.map(({ thread }) => thread.room.engine.scheduler);
    return schedulers.reduce((sum, { preemptionCount }) => sum + preemptionCount, 0);
  }

  /** Lets go of real memory. */
  close(): void {
    for (const { thread } of this.#made) thread.pool.close();
    for (const host of this.hosts) host.close();
  }
}
