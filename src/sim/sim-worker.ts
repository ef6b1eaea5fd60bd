// A simulated worker process: what role/worker.ts puts together, on simulated ground. One that is
// started again is another process with another id.

import { arenaPrefix, blockStride } from '../kv/arena.ts';
import { sweepArenas } from '../kv/janitor.ts';
import { withClaims } from '../plane/claim.ts';
import { createWorkerNode, type WorkerNode } from '../plane/worker.ts';
import type { EnginePort } from '../protocol/engine.ts';
import type { Card, KvPathChoice, WorkerRole } from '../protocol/message.ts';
import { attachEngine } from '../role/engine-handle.ts';
import type { RoomOptions } from '../role/engine-room.ts';
import { type OwnKvPaths, openKvPaths } from '../role/kv-paths.ts';
import { ObjectAccess } from '../role/object-access.ts';
import { digest } from '../std/hash.ts';
import { silentLog } from '../telemetry/log.ts';
import { SimBus } from './bus.ts';
import type { Ground } from './ground.ts';
import type { SimHost } from './host.ts';
import { Link } from './link.ts';
import { eosIds, geometryOf, modelDigest, type Pace, vocabSize } from './model.ts';
import { vocabulary } from './rules.ts';
import { SimStore } from './store.ts';
import { SimThread } from './thread.ts';
import { Lane } from './world.ts';

export type WorkerSpec = {
  /** `context-0`: its place in the topology, kept when it is started again. */
  readonly place: string;
  readonly role: WorkerRole;
  readonly host: SimHost;
  readonly pace: Pace;
  readonly slots: number;
  readonly tokensMax: number;
  readonly queueCountMax: number;
  readonly arenaBlocks: number;
  readonly prefixCaching: boolean;
  readonly kvPath: KvPathChoice;
  /** False: a container of its own, although the host is called the same. */
  readonly seesOthers: boolean;
};

export class SimWorker {
  readonly spec: WorkerSpec;
  readonly id: string;
  readonly lane: Lane;
  readonly threadLane: Lane;
  readonly link: Link;
  readonly bus: SimBus;
  readonly thread: SimThread;
  /** Null while it starts. */
  node: WorkerNode | null = null;
  kv: OwnKvPaths | null = null;
  /** It stops by itself: no crash. */
  isLeaving = false;
  readonly #ground: Ground;
  readonly #files: ReturnType<SimHost['open']>;
  readonly #store: SimStore;

  constructor(ground: Ground, spec: WorkerSpec, start: number) {
    const { world, dice } = ground;
    this.#ground = ground;
    this.spec = spec;
    this.id = `${spec.place}-${start}`;
    this.lane = new Lane(world, this.id, dice.between(0, 1e6));
    this.threadLane = new Lane(world, `${this.id}/engine`, dice.between(0, 1e6));
    this.link = new Link(dice);
    this.link.oddShare = ground.oddShare;
    this.#files = spec.host.open();
    const isUp = (): boolean => ground.server.isUp && ground.server.hasJetStream;
    const { objects, server, maxPayloadBytes } = ground;
    const { lane, link } = this;
    this.#store = new SimStore({ objects, lane, link, dice, isUp });
    this.bus = new SimBus({ server, lane, link, dice, maxPayloadBytes });
    sweepArenas(undefined, this.#files);
    this.thread = new SimThread({
      lane: this.threadLane,
      main: lane,
      room: this.#room(),
      files: this.#files,
      pace: spec.pace,
      stepTokens: ground.stepTokens,
      grammarDice: ground.grammarDice,
      onStep: () => ground.onStep(this),
      onSeen: (what) => ground.onSeen(what),
    });
    void this.#start();
  }

  get isAlive(): boolean {
    return this.lane.isAlive;
  }

  /** kill -9. */
  crash(): void {
    this.#end();
    this.bus.die();
    this.#files.died();
  }

  /** SIGTERM: drains, says goodbye, ends. */
  async leave(limitMs: number): Promise<void> {
    if (this.node === null || this.isLeaving) return;
    this.isLeaving = true;
    await this.node.drain(limitMs);
    await this.bus.close();
    this.thread.room.close();
    this.#end();
  }

  /** All its threads. */
  lanes(): readonly Lane[] {
    const { grammarThread } = this.thread;
    return [this.lane, this.threadLane, ...(grammarThread === null ? [] : [grammarThread.lane])];
  }

  #end(): void {
    for (const lane of this.lanes()) lane.end();
    this.#ground.world.note(`${this.id} ended`);
  }

  #room(): RoomOptions {
    const { spec, id } = this;
    const ground = this.#ground;
    const geometry = geometryOf(ground.blockTokens);
    return {
      namespace: ground.namespace,
      workerId: id,
      role: spec.role,
      modelDigest,
      geometry,
      kvDtype: 'float32',
      eosIds,
      ignoreEos: false,
      maxModelLen: ground.maxModelLen,
      slots: spec.slots,
      tokensMax: spec.tokensMax,
      queueCountMax: spec.queueCountMax,
      // Each block has its place in the table; a page for the head, one for the table.
      arenaBytes: 2 * 4096 + spec.arenaBlocks * (blockStride(geometry, 'float32') + 8),
      prefixCaching: spec.prefixCaching,
    };
  }

  async #start(): Promise<void> {
    const { spec, id, lane } = this;
    const ground = this.#ground;
    const { clock } = lane;
    const { namespace, dice } = ground;
    const log = ground.logOf(lane);
    const room = this.#room();
    const claims = { store: this.#store, namespace, clock, chance: dice.asChance(), log };
    const bus = withClaims({ bus: this.bus, ...claims });
    // Nothing is loaded here.
    const nothing = { libraryPath: '', modelPath: '', threads: 1 } as const;
    const model = { device: 'cpu', precision: 'float32', vocabSize, ...nothing } as const;
    const handle = await attachEngine(
      this.thread,
      { start: { type: 'start', options: { ...room, ...model } }, sizes: room },
      (reason) => ground.onBug(`${id}: engine crashed: ${reason}`),
    );
    handle.learn(vocabulary);
    const engine: EnginePort = ground.wrapEngine(handle, this);
    const kv = openKvPaths({
      config: { kvPath: spec.kvPath, kvObject: ground.kvObject },
      store: this.#store,
      worker: room,
      engine,
      clock,
      log,
      files: this.#files,
    });
    let announce = (): void => undefined;
    const objects =
      spec.role === 'baseline' || spec.kvPath === 'shm'
        ? null
        : new ObjectAccess({
            bus,
            clock,
            log: silentLog,
            isWanted: false,
            onChange: () => announce(),
          });
    const node = createWorkerNode({
      bus,
      clock,
      log,
      namespace,
      workerId: id,
      role: spec.role,
      card: this.#card(room),
      host: spec.host.name,
      pid: 1,
      build: '0.0.0',
      engine,
      kv,
      kvPath: spec.kvPath,
      sees: (worker) => spec.seesOthers && this.#files.has(`${arenaPrefix}${worker}`),
      objects: () => objects?.isUsable() ?? false,
      assets: { tokenizer: new Uint8Array(0), tokenizerConfig: new Uint8Array(0) },
    });
    announce = () => node.announce();
    this.kv = kv;
    this.node = node;
    node.setState('ready');
  }

  #card(room: RoomOptions): Card {
    return {
      model: 'sim',
      source: 'sim',
      modelDigest,
      textDigest: digest('sim'),
      geometry: room.geometry,
      kvDtype: room.kvDtype,
      maxModelLen: room.maxModelLen,
      vocabSize,
      eosIds: [...eosIds],
    };
  }
}
