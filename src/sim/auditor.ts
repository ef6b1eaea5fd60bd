// Says whether a run was right. Knows what each request must get (sim/oracle.ts), which errors the
// faults allow (sim/allowed.ts), what may be held at any time, and that nothing may be held at the end.
// Looks from outside: at what clients got, and at counts that processes give of themselves.

import { allowed } from './allowed.ts';
import type { Call } from './call.ts';
import type { SimCluster } from './cluster.ts';
import type { FaultKind } from './fault-plan.ts';
import type { GatewayPlan, WorkerPlan } from './scenario.ts';
import { SimGateway } from './sim-gateway.ts';
import type { SimWorker } from './sim-worker.ts';

export type Violation = { readonly rule: string; readonly detail: string; readonly atMs: number };

/** Timers of a process that does nothing: signs of life, sweeps, watches. */
const idleTimers = { gateway: 2, workerMain: 3, workerThread: 2 } as const;
/** How long workers may go on with a request that is over: an abort's way, and a step. */
const abortMs = 1000;
/** … and after faults: connections to be made anew, signs of life, what stood still. */
const abortMsAfterFaults = 40_000;
/** Requests that may wait for a place in a full queue (limit.queueGraceCountMax). */
const graceCountMax = 1024;
/** Tokens that a worker may still send while the word that it should rest is on its way. */
const underWayMax = 12;

export class Auditor {
  readonly violations: Violation[] = [];
  readonly #nowMs: () => number;
  readonly #inboxDeltaMax: number;
  /** Messages with tokens of each request so far. */
  readonly #sentCounts = new Map<Call, number>();

  constructor(nowMs: () => number, { inboxDeltaMax }: { readonly inboxDeltaMax: number }) {
    this.#nowMs = nowMs;
    this.#inboxDeltaMax = inboxDeltaMax;
  }

  report(rule: string, detail: string): void {
    this.violations.push({ rule, detail, atMs: this.#nowMs() });
  }

  // --- at all times

  onDelta(call: Call, wasOver: boolean): void {
    if (wasOver) this.report('one end', `${call.id} got tokens after its end`);
    const { expected } = call.ask;
    if (expected === null) return this.report('refused', `${call.id} got tokens for nothing`);
    const at = call.ids.findIndex((id, i) => id !== expected.ids[i]);
    if (at < 0) return;
    const found = call.ids.slice(0, at + 1).join(' ');
    const wanted = expected.ids.slice(0, at + 1).join(' ');
    this.report('tokens', `${call.id} got ${found}, wanted ${wanted}`);
  }

  onWorker({ id, thread, spec }: SimWorker, plan: WorkerPlan): void {
    const { engine, own } = thread.room;
    const resident = thread.pool.residentTokens();
    const { runningCount, waitingCount } = engine.scheduler;
    const within = (what: string, count: number, most: number): void => {
      if (count > most) this.report('limits', `${id}: ${count} ${what}, at most ${most}`);
    };
    within('positions in memory', resident, plan.tokensMax);
    within('sequences with a slot', runningCount, plan.slots);
    within('sequences', runningCount + waitingCount, plan.queueCountMax);
    if (own === null) return;
    const { free, held, leased, cached } = own.store.counts();
    if (free + held + leased + cached !== spec.arenaBlocks) {
      const sum = `${free} free, ${held} held, ${leased} leased, ${cached} cached`;
      this.report('blocks', `${id}: ${sum} of ${spec.arenaBlocks}`);
    }
  }

  onGateway({ id, queue }: SimGateway, plan: GatewayPlan): void {
    if (queue.waitingCount <= plan.queueLimit + graceCountMax) return;
    this.report('limits', `${id}: ${queue.waitingCount} requests wait for workers`);
  }

  /** Tokens that nobody reads yet, or that nobody will: of a request that is over. */
  onTokens(call: Call, faults: ReadonlyMap<FaultKind, number>, healedMs: number | null): void {
    if (call.how === null) return this.#onWaiting(call, faults);
    // A request that comes late a second time is a new one to a worker, until its reservation ends.
    if (faults.has('twice') || faults.has('late')) return;
    // A gateway that died before its first sign of life is not missed (plane/gateways.ts).
    if (call.how === 'gateway_died') return;
    const nowMs = this.#nowMs();
    const isCalm = calm(faults);
    const sinceMs = isCalm ? call.endMs : Math.max(call.endMs, healedMs ?? nowMs);
    const graceMs = isCalm ? abortMs : abortMsAfterFaults;
    if (nowMs - sinceMs <= graceMs) return;
    const text = `${call.id} is still computed ${Math.round(nowMs - sinceMs)} ms after its end`;
    this.report('stops', text);
  }

  /** A worker rests while its client does not read: so little waits for it. */
  #onWaiting(call: Call, faults: ReadonlyMap<FaultKind, number>): void {
    const sentCount = (this.#sentCounts.get(call) ?? 0) + 1;
    this.#sentCounts.set(call, sentCount);
    const waiting = sentCount - call.ids.length;
    if (!calm(faults) || waiting <= this.#inboxDeltaMax + underWayMax) return;
    const text = `${call.id}: ${waiting} tokens wait for its client, wanted ${this.#inboxDeltaMax}`;
    this.report('limits', text);
  }

  // --- at the end

  onEnd(call: Call, faults: ReadonlyMap<FaultKind, number>): void {
    const { how, ids, ask } = call;
    if (call.endCount > 1) this.report('one end', `${call.id} ended ${call.endCount} times`);
    if (how === null) return; // told of by `left`
    if (how === 'finished') {
      const { expected } = ask;
      const isWhole = ids.join() === expected?.ids.join() && call.finish === expected.finish;
      if (isWhole) return;
      return this.report('tokens', `${call.id} ended with ${call.finish}: ${ids.join(' ')}`);
    }
    if (how === ask.refusal) return;
    if (how === 'cancelled' && call.hasLeft) return;
    const causes = allowed[how] ?? [];
    if (causes.some((kind) => faults.has(kind))) return;
    const happened = [...faults.keys()].join(', ');
    this.report('errors', `${call.id} ended with ${how}, which ${happened || 'nothing'} excuses`);
  }

  /** What is still held although nobody is served; empty when all is well. */
  left(cluster: SimCluster, calls: readonly Call[]): string[] {
    const waiting = calls.filter(({ how }) => how === null).map(({ id }) => `${id} waits`);
    const held = cluster.living().flatMap((process) => {
      const counts = process instanceof SimGateway ? ofGateway(process) : ofWorker(process);
      return Object.entries(counts)
        .filter(([, count]) => count > 0)
        .map(([what, count]) => `${process.id}: ${count} ${what}`);
    });
    return [...waiting, ...held];
  }
}

/** Nothing went wrong but what clients do. */
function calm(faults: ReadonlyMap<FaultKind, number>): boolean {
  return [...faults.keys()].every((kind) => kind === 'load' || kind === 'disconnect');
}

function ofGateway({ client, queue, gate, bus, lane }: SimGateway): Record<string, number> {
  return {
    ...client.held(),
    queued: queue.count,
    inQueue: queue.waitingCount,
    exchanges: gate.count,
    questions: bus.pendingCount,
    timers: lane.timerCount - idleTimers.gateway,
  };
}

function ofWorker(worker: SimWorker): Record<string, number> {
  const { thread, node, kv, bus, lane, threadLane } = worker;
  const { engine, own } = thread.room;
  const { open, followed } = thread.grammarCounts();
  const { held = 0, leased = 0 } = own?.store.counts() ?? {};
  return {
    ...kv?.held(),
    jobs: node?.jobCount() ?? 0,
    running: engine.scheduler.runningCount,
    waiting: engine.scheduler.waitingCount,
    'open grammars': open,
    'followed grammars': followed,
    'held blocks': held,
    'leased blocks': leased,
    questions: bus.pendingCount,
    timers: lane.timerCount - idleTimers.workerMain,
    'thread timers': threadLane.timerCount - idleTimers.workerThread,
  };
}
