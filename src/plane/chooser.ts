// Which workers a request goes to now: asks the router over what is known of everybody, and waits for a
// change of the cluster or of the plane where nobody can take it. Says when that is hopeless.

import { limit } from '../protocol/limit.ts';
import type { Heartbeat } from '../protocol/message.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, type FaultCode } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import type { Bus } from './bus.ts';
import { type Call, cancelFault, isBegun } from './call.ts';
import { isFull } from './doors.ts';
import type { InFlight } from './in-flight.ts';
import type { Rates } from './rates.ts';
import type { Registry } from './registry.ts';
import { RouteReport } from './route-report.ts';
import { type Choice, chooseRoute, missingFor } from './router.ts';

/** The worker may come back or have room again, or another in its place: worth waiting for. */
const passing: ReadonlySet<FaultCode> = new Set<FaultCode>([
  'no_worker',
  'draining',
  'plane',
  'overloaded',
]);

export type Found = Exclude<Choice, { route: 'none' }>;

export type ChooserPorts = {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
  readonly inFlight: InFlight;
  readonly rates: Rates;
  readonly localPrefillTokens: number | null;
};

export class Chooser {
  readonly #ports: ChooserPorts;
  readonly #report: RouteReport;
  readonly #wakers = new Set<() => void>();
  #turn = 0;

  constructor(ports: ChooserPorts) {
    this.#ports = ports;
    this.#report = new RouteReport(ports.log, ports.localPrefillTokens);
  }

  /** From now on whoever waits is woken by changes, after everybody who has listened before. */
  listen(): void {
    const { registry, bus } = this.#ports;
    registry.onChange(() => this.#wake());
    bus.onTrouble(() => this.#wake());
  }

  /** Requests that wait for somebody to take them. */
  get waitingCount(): number {
    return this.#wakers.size;
  }

  /** Null while nobody can take the request. Throws when that is hopeless, or by the signal. */
  choose(call: Call): Found | null {
    const { tried } = call;
    const { signal } = call.scope;
    if (signal.aborted) throw cancelFault(signal);
    if (this.#ports.bus.trouble() !== null) return null;
    const choice = this.#route(call);
    if (choice.route !== 'none') return choice;
    const faults = [...tried.values()];
    const hopeless = faults.find(({ code }) => !passing.has(code));
    // One that is merely full has not failed: its room is worth waiting for.
    if (hopeless !== undefined && !faults.some(isFull)) throw hopeless;
    return null;
  }

  #route(call: Call): Choice {
    const { request, keys, tried, emittedIds } = call;
    const { inFlight, rates, registry, localPrefillTokens } = this.#ports;
    const workers = registry.group(request.model, call.groupKey);
    const { route, sampling } = request;
    const isFresh = !isBegun(call);
    const missing = route === undefined || !isFresh ? null : missingFor(route, workers);
    if (missing !== null) throw new Fault('no_worker', missing);
    const choice = chooseRoute({
      model: request.model,
      workers,
      forced: route,
      promptTokens: request.promptIds.length + emittedIds.length,
      growthTokens: sampling.maxTokens - emittedIds.length,
      keys,
      keysOf: (worker) => registry.prefixes.keysOf(worker),
      warm: new Set(isFresh ? request.warm : []),
      isHandedOver: sampling.promptLogprobs === null || !isFresh,
      localPrefillTokens,
      excluded: new Set(tried.keys()),
      inFlight: inFlight.of,
      ageMs: (worker) => registry.ageMs(worker),
      rates,
      turn: this.#turn++,
    });
    this.#report.note(request, choice);
    return choice;
  }

  /**
   * Waits for a change of the cluster or of the plane, for room, or for the signal. A worker that could
   * not be reached but still shows signs of life gets another chance after a heartbeat's time.
   */
  async change(call: Call): Promise<void> {
    const { tried } = call;
    const { signal } = call.scope;
    const { clock, registry } = this.#ports;
    const unreached = registry.workers().filter(({ worker }) => {
      const fault = tried.get(worker);
      return fault !== undefined && passing.has(fault.code) && !isFull(fault);
    });
    await new Promise<void>((resolve) => {
      const again = () => {
        for (const { worker } of unreached) tried.delete(worker);
        wake();
      };
      const timer = unreached.length === 0 ? null : clock.after(limit.heartbeatMs, again);
      const wake = () => {
        call.wake = null;
        timer?.cancel();
        this.#wakers.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      call.wake = wake;
      this.#wakers.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  #wake(): void {
    for (const wake of [...this.#wakers]) wake();
  }
}

/** Who decodes. */
export function generateOf(choice: Found): Heartbeat {
  return choice.route === 'aggregated' ? choice.baseline : choice.generate;
}
