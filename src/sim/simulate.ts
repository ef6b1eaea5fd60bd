// One seed from its first event to its verdict: the deployment starts, clients ask while things go
// wrong, everything is mended, and what is left after a while is a leak. Then everybody is asked once
// more and must be answered.

import type { EnginePort } from '../protocol/engine.ts';
import { limit } from '../protocol/limit.ts';
import { drawAsk } from './asks.ts';
import { Auditor, type Violation } from './auditor.ts';
import { type Ask, Call } from './call.ts';
import { SimCluster } from './cluster.ts';
import { Dice } from './dice.ts';
import type { FaultKind } from './fault-plan.ts';
import { Faults } from './faults.ts';
import { drawScenario, type Scenario } from './scenario.ts';
import { SimGateway } from './sim-gateway.ts';
import type { SimWorker } from './sim-worker.ts';
import { Trace } from './trace.ts';
import { World } from './world.ts';

export type Options = {
  /** Each line of the trace as it happens; null: none. */
  readonly print?: ((line: string) => void) | null;
  /** Production's log lines into the trace. */
  readonly isLogging?: boolean;
  /** A test's way to break a worker. */
  readonly wrapEngine?: (engine: EnginePort, worker: SimWorker) => EnginePort;
};

export type Verdict = {
  readonly seed: number;
  readonly scenario: Scenario;
  readonly digest: string;
  readonly eventCount: number;
  readonly endMs: number;
  readonly violations: readonly Violation[];
  readonly calls: readonly Call[];
  readonly faults: ReadonlyMap<FaultKind, number>;
  /** How often paths were gone that a simulation must not miss. */
  readonly seen: ReadonlyMap<string, number>;
  readonly lastLines: readonly string[];
};

const bootMs = 4000;
const probeMs = 60_000;
const stepMs = 250;

/** Must be called from a task of its own, not from a microtask: it drains those (`bun:jsc`). */
export function simulate(seed: number, options: Options = {}): Verdict {
  const scenario = drawScenario(seed);
  const trace = new Trace(options.print ?? null);
  const world: World = new World(trace, ({ lane, thrown }) => {
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    auditor.report('no crash', `${lane?.name ?? 'outside'}: ${text}`);
  });
  const { deployment } = scenario;
  const auditor = new Auditor(() => world.nowMs, deployment);
  const seen = new Map<string, number>();
  const cluster = new SimCluster(world, scenario, {
    onStep: (worker) => {
      const plan = deployment.workers.find(({ place }) => place === worker.spec.place);
      if (plan !== undefined) auditor.onWorker(worker, plan);
    },
    onSeen: (what) => seen.set(what, (seen.get(what) ?? 0) + 1),
    onBug: (what) => auditor.report('no crash', what),
    onHarm: (kind) => faults.count(kind),
    isLogging: options.isLogging ?? false,
    ...(options.wrapEngine === undefined ? {} : { wrapEngine: options.wrapEngine }),
  });
  const faults = new Faults(world, cluster, new Dice(seed, 'happen'));
  for (const kind of scenario.standing) faults.count(kind);
  const run = new Run({ scenario, world, cluster, auditor, faults });
  run.go();
  const preempted = cluster.preemptionCount();
  if (preempted > 0) seen.set('preemption', preempted);
  cluster.close();
  return {
    seed,
    scenario,
    digest: trace.digest,
    eventCount: world.eventCount,
    endMs: world.nowMs,
    violations: auditor.violations,
    calls: run.calls,
    faults: faults.counts,
    seen,
    lastLines: trace.last(60),
  };
}

type Parts = {
  readonly scenario: Scenario;
  readonly world: World;
  readonly cluster: SimCluster;
  readonly auditor: Auditor;
  readonly faults: Faults;
};

class Run {
  readonly calls: Call[] = [];
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  go(): void {
    const { scenario, world, cluster, auditor, faults } = this.#parts;
    cluster.start();
    this.#until(bootMs, () => cluster.isReady());
    if (!cluster.isReady()) return auditor.report('start', 'not everybody is ready');
    for (const ask of scenario.asks) this.#plan(ask);
    faults.plan(scenario.faults);
    let healedMs: number | null = null;
    faults.onMessage = (subject) => {
      const [, kind, , planeId = ''] = subject.split('.');
      if (kind !== 'tokens') return;
      const call = this.calls.find(({ id }) => planeId.startsWith(`${id}-`));
      if (call !== undefined) auditor.onTokens(call, faults.counts, healedMs);
    };
    world.run(scenario.healMs, () => this.#isFailed);
    faults.heal();
    healedMs = world.nowMs;
    this.#drain('leaks');
    if (this.#isFailed) return;
    this.#probe();
    for (const call of this.calls) auditor.onEnd(call, faults.counts);
  }

  get #isFailed(): boolean {
    return this.#parts.auditor.violations.length > 0;
  }

  /** Steps until it is so, or the time is over. */
  #until(limitMs: number, isSo: () => boolean): void {
    const { world } = this.#parts;
    const endMs = world.nowMs + limitMs;
    while (world.nowMs < endMs && !isSo() && !this.#isFailed) {
      world.run(world.nowMs + stepMs, () => this.#isFailed);
      this.#look();
    }
  }

  #look(): void {
    const { cluster, auditor, scenario } = this.#parts;
    for (const plan of scenario.deployment.gateways) {
      const gateway = cluster.gateways.get(plan.place);
      if (gateway !== undefined) auditor.onGateway(gateway, plan);
    }
  }

  /** Everything must have gone after the longest wait that there is. */
  #drain(rule: string): void {
    const { cluster, auditor, scenario } = this.#parts;
    const queueMs = Math.max(...scenario.deployment.gateways.map((one) => one.queueTimeoutMs));
    const boundMs = queueMs + limit.reserveMs + 2 * limit.streamSilenceMs;
    const isQuiet = (): boolean =>
      cluster.isReady() && auditor.left(cluster, this.calls).length === 0;
    this.#until(boundMs, isQuiet);
    if (this.#isFailed || isQuiet()) return;
    const left = auditor.left(cluster, this.calls);
    const text = left.length > 0 ? left.join('; ') : 'not everybody is ready';
    auditor.report(rule, `${boundMs} ms after everything was mended: ${text}`);
  }

  /** The next requests are served as if nothing had been. */
  #probe(): void {
    const { scenario, world, auditor } = this.#parts;
    const dice = new Dice(scenario.seed, 'probe');
    const probes = scenario.deployment.gateways.map(({ place }, i) => {
      const drawn = drawAsk(dice, scenario.deployment, {
        stems: [],
        name: `probe${i}`,
        atMs: world.nowMs + 10,
        leavesMs: null,
      });
      return this.#plan({ ...drawn, gateway: place });
    });
    this.#until(probeMs, () => probes.every(({ how }) => how !== null));
    for (const { id, how, ask } of probes) {
      if (this.#isFailed || how === 'finished' || (how !== null && how === ask.refusal)) continue;
      auditor.report('healed', `${id} ended with ${how ?? 'nothing'} after everything was mended`);
    }
    if (!this.#isFailed) this.#drain('leaks');
  }

  #plan(ask: Ask): Call {
    const { world, cluster } = this.#parts;
    const call = new Call(ask, {
      onDelta: (one, wasOver) => {
        world.note(`${one.id} has ${one.ids.length} tokens ${one.finish ?? ''}`);
        this.#parts.auditor.onDelta(one, wasOver);
      },
      onEnd: (one) => {
        one.endMs = world.nowMs;
        world.note(`${one.id} ended: ${one.how}`);
      },
    });
    this.calls.push(call);
    world.after(ask.atMs - world.nowMs, null, () => {
      const gateway = cluster.at(ask.gateway);
      if (!(gateway instanceof SimGateway) || !gateway.isAlive) return call.end('gateway_died');
      const { promptIds, sampling, route = 'any' } = ask.request;
      const size = `${promptIds.length}+${sampling.maxTokens}`;
      world.note(`${call.id} asks ${gateway.id} for ${size} tokens, route ${route}`);
      if (ask.leavesMs !== null) {
        world.after(ask.leavesMs, null, () => {
          if (call.how === null) world.note(`${call.id} leaves`);
          call.leave();
        });
      }
      gateway.admitCall(call);
    });
    return call;
  }
}
