// Faults as they happen, and how everything is mended at the end.

import { blockBegin } from '../kv/arena.ts';
import { blockHeaderBytes } from '../kv/block.ts';
import type { SimCluster } from './cluster.ts';
import type { Dice } from './dice.ts';
import type { FaultKind, PlannedFault } from './fault-plan.ts';
import type { Link } from './link.ts';
import { SimGateway } from './sim-gateway.ts';
import { SimWorker } from './sim-worker.ts';
import { tick, type World } from './world.ts';

type CrashAt = Extract<PlannedFault, { kind: 'crash_at' }>;

export class Faults {
  /** How often each kind has happened. */
  readonly counts = new Map<FaultKind, number>();
  readonly #world: World;
  readonly #cluster: SimCluster;
  readonly #dice: Dice;
  readonly #watches = new Set<{ readonly fault: CrashAt; seen: number }>();
  /** Workers whose shared memory goes bad. */
  readonly #failing = new Set<string>();
  #isHealed = false;

  constructor(world: World, cluster: SimCluster, dice: Dice) {
    this.#world = world;
    this.#cluster = cluster;
    this.#dice = dice;
    cluster.server.onRoute = ({ subject, from }) => this.#watch(subject, from);
  }

  plan(faults: readonly PlannedFault[]): void {
    for (const fault of faults) {
      this.#world.after(fault.atMs - this.#world.nowMs, null, () => this.#happen(fault));
    }
  }

  count(kind: FaultKind): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
  }

  /** From now on nothing goes wrong, and what did is mended. */
  heal(): void {
    this.#isHealed = true;
    this.#world.note('healed');
    this.#watches.clear();
    this.#failing.clear();
    const { server, objects } = this.#cluster;
    objects.harm.clear();
    this.#cluster.ground.oddShare = 0;
    server.start();
    for (const process of this.#cluster.living()) {
      this.#join(process.link);
      process.link.delayMinMs = 0.05;
      process.link.delayMaxMs = 0.5;
      process.link.oddShare = 0;
      if (!(process instanceof SimWorker)) continue;
      process.thread.slowness = 1;
      process.thread.runner.failsNext = false;
      process.thread.isGrammarSlow = false;
    }
    for (const place of this.#cluster.workers.keys()) this.#cluster.startWorker(place);
    for (const place of this.#cluster.gateways.keys()) this.#cluster.startGateway(place);
    this.#resumeAll();
  }

  #happen(fault: PlannedFault): void {
    if (this.#isHealed) return;
    const process = 'place' in fault ? this.#cluster.at(fault.place) : undefined;
    if ('place' in fault && process?.isAlive !== true) return;
    this.#world.note(`fault ${JSON.stringify(fault)}`);
    if (fault.kind !== 'crash_at') this.count(fault.kind);
    switch (fault.kind) {
      case 'crash_at':
        this.#watches.add({ fault, seen: 0 });
        return;
      case 'nats_restart':
        this.#cluster.server.stop();
        this.#cluster.objects.restart();
        return this.#later(fault.forMs, () => this.#cluster.server.start());
      case 'object': {
        const { harm } = this.#cluster.objects;
        harm.set(fault.harm, fault.share);
        return this.#later(fault.forMs, () => harm.delete(fault.harm));
      }
      default:
        if (process !== undefined) this.#befall(process, fault);
    }
  }

  #befall(process: SimWorker | SimGateway, fault: PlannedFault): void {
    const { link } = process;
    const worker = process instanceof SimWorker ? process : null;
    switch (fault.kind) {
      case 'delay':
        link.delayMaxMs = fault.maxMs;
        return this.#later(fault.forMs, () => {
          link.delayMaxMs = 0.5;
        });
      case 'reset':
        return process.bus.connection?.lose('connection reset');
      case 'partition':
        return this.#cut(process, fault.forMs);
      case 'worker_crash':
        return worker === null ? undefined : this.#crash(worker, fault.backMs);
      case 'gateway_crash':
        if (process instanceof SimGateway) process.crash();
        return this.#later(fault.backMs, () => this.#cluster.startGateway(fault.place));
      case 'freeze':
        return freeze(process, this.#world.nowMs + tick(fault.forMs));
      case 'slow':
        if (worker !== null) worker.thread.slowness = fault.factor;
        return this.#later(fault.forMs, () => {
          if (worker !== null) worker.thread.slowness = 1;
        });
      case 'runner_fail':
        if (worker !== null) worker.thread.runner.failsNext = true;
        return;
      case 'grammar_crash':
        return worker?.thread.grammarThread?.crash();
      case 'grammar_slow':
        if (worker !== null) worker.thread.isGrammarSlow = true;
        return this.#later(fault.forMs, () => {
          if (worker !== null) worker.thread.isGrammarSlow = false;
        });
      case 'arena_corrupt':
        if (worker === null) return;
        this.#corruptArena(worker);
        this.#failing.add(worker.id);
        return this.#later(fault.forMs, () => this.#failing.delete(worker.id));
      case 'wall_clock':
        process.lane.epochShiftS += fault.shiftS;
        return;
      case 'drain':
        return this.#drain(fault.place, fault.forMs);
      case 'leave':
        if (worker === null) return;
        void worker.leave(fault.limitMs).then(() => {
          this.#later(fault.backMs, () => this.#cluster.startWorker(fault.place));
        });
        return;
    }
  }

  #crash(worker: SimWorker, backMs: number): void {
    if (!worker.isAlive) return;
    worker.crash();
    this.#later(backMs, () => this.#cluster.startWorker(worker.spec.place));
  }

  /** Until it is joined again nothing gets through; who waits long enough gives the connection up. */
  #cut(process: SimWorker | SimGateway, forMs: number): void {
    const { link, bus } = process;
    link.isCut = true;
    const { connection } = bus;
    // Pings every 5 s, two may be missing.
    this.#later(this.#dice.between(10_000, 15_000), () => {
      if (link.isCut) connection?.lose('no answer to pings');
    });
    this.#later(forMs, () => this.#join(link));
  }

  #join(link: Link): void {
    if (!link.isCut) return;
    link.isCut = false;
    for (const connection of [...this.#cluster.server.connections]) {
      if (connection.link === link) connection.resend();
    }
  }

  /** As memory goes bad: a bit in each block that lies there, now and before each hand-over. */
  #corruptArena({ spec, id, thread }: SimWorker): void {
    const bytes = spec.host.bytesOf(`tdist-${id}`);
    const arena = thread.room.own?.arena;
    if (bytes === null || arena === undefined) return;
    for (let block = 0; block < arena.blockCount; block++) {
      // The first position's id and digest.
      const at = blockBegin(arena.view, block) + blockHeaderBytes + this.#dice.whole(0, 7);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << this.#dice.whole(0, 7));
    }
  }

  #drain(place: string, forMs: number): void {
    const worker = this.#cluster.workers.get(place);
    if (worker === undefined) return;
    this.#control(worker.id, 'drain');
    this.#later(forMs, () => this.#control(worker.id, 'resume'));
  }

  /** As an operator does, through any gateway; who cannot be told now is told again at the end. */
  #control(worker: string, action: 'drain' | 'resume'): void {
    const gateway = [...this.#cluster.gateways.values()].find(({ isAlive }) => isAlive);
    if (gateway === undefined) return;
    this.#world.after(0, gateway.lane, () => {
      gateway.client.control(worker, action).catch((thrown: unknown) => {
        this.#world.note(`${action} of ${worker}: ${String(thrown)}`);
      });
    });
  }

  #resumeAll(): void {
    const drained = [...this.#cluster.gateways.values()].flatMap(({ client }) =>
      client.workers().filter(({ state }) => state === 'draining'),
    );
    for (const worker of new Set(drained.map((heartbeat) => heartbeat.worker))) {
      this.#control(worker, 'resume');
    }
    for (const [place, worker] of this.#cluster.workers) {
      if (!worker.isAlive) this.#cluster.startWorker(place);
    }
    this.#world.after(1000, null, () => this.#resumeAll());
  }

  /** Unless everything has been mended by then. */
  #later(ms: number, act: () => void): void {
    this.#world.after(ms, null, () => {
      if (!this.#isHealed) act();
    });
  }

  /** Called for each message that the server passes on. */
  onMessage: (subject: string) => void = () => undefined;

  #watch(subject: string, from: string): void {
    this.onMessage(subject);
    if (this.#watches.size + this.#failing.size === 0) return;
    const parts = subject.split('.');
    const op = parts[1] === 'worker' ? parts[3] : parts[1];
    if (op === 'handover' && this.#failing.has(from)) {
      const sender = [...this.#cluster.workers.values()].find(({ id }) => id === from);
      if (sender !== undefined) this.#corruptArena(sender);
    }
    for (const watch of this.#watches) {
      const { fault } = watch;
      if (op !== fault.op || ++watch.seen < fault.nth) continue;
      this.#watches.delete(watch);
      const id = fault.whose === 'sender' ? from : parts[2];
      const victim = [...this.#cluster.workers.values()].find((worker) => worker.id === id);
      if (victim === undefined) continue;
      this.count('crash_at');
      this.#later(fault.delayMs, () => this.#crash(victim, fault.backMs));
    }
  }
}

function freeze(process: SimWorker | SimGateway, untilMs: number): void {
  const lanes = process instanceof SimWorker ? process.lanes() : [process.lane];
  // Never sooner than said before: what waits for that moment must not be overtaken.
  for (const lane of lanes) lane.frozenUntilMs = Math.max(lane.frozenUntilMs, untilMs);
}
