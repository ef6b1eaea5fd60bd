// What all processes of one simulated deployment stand on.

import type { BucketOptions } from '../plane/object-store.ts';
import type { EnginePort } from '../protocol/engine.ts';
import type { Log } from '../telemetry/log.ts';
import type { Dice } from './dice.ts';
import type { SimServer } from './server.ts';
import type { SimWorker } from './sim-worker.ts';
import type { SimObjects } from './store.ts';
import type { Lane, World } from './world.ts';

export type Ground = {
  readonly world: World;
  readonly dice: Dice;
  /** How long threads of grammars take. */
  readonly grammarDice: Dice;
  readonly server: SimServer;
  readonly objects: SimObjects;
  readonly namespace: string;
  readonly maxPayloadBytes: number;
  readonly blockTokens: number;
  readonly inboxDeltaMax: number;
  readonly maxModelLen: number;
  readonly stepTokens: number;
  /** Of messages that meet what NATS does not do; for processes that start now. */
  oddShare: number;
  readonly kvObject: Pick<BucketOptions, 'storage' | 'bytesMax' | 'ttlMs' | 'replicaCount'>;
  logOf(lane: Lane): Log;
  /** After each turn of a worker's engine. */
  onStep(worker: SimWorker): void;
  /** Something worth counting has happened in an engine: that it was tried at all. */
  onSeen(what: string): void;
  /** Something that only a bug can do. */
  onBug(what: string): void;
  /** A test's way to break a worker. */
  wrapEngine(engine: EnginePort, worker: SimWorker): EnginePort;
};
