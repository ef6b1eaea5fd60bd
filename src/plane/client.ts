// The gateway's view of the cluster: which models there are, and generations on them. Moves a request to
// others when workers refuse, vanish or fail; who they are is plane/chooser.ts's to say. How long a request may wait for its first token is the caller's to say, by its
// signal; what happens after that token is plane/answer.ts's.

import { limit } from '../protocol/limit.ts';
import type { Member } from '../protocol/member.ts';
import { type ControlAction, type Heartbeat, protocolVersion } from '../protocol/message.ts';
import type {
  Cluster,
  GenerateOptions,
  GenerateRequest,
  Generation,
  Route,
  ServedModel,
} from '../protocol/request.ts';
import { subjects as subjectsOf } from '../protocol/subject.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, type FaultCode, toFault } from '../std/fault.ts';
import { digest } from '../std/hash.ts';
import type { Chance } from '../std/prng.ts';
import type { Log } from '../telemetry/log.ts';
import { type Meter, noMeter } from '../telemetry/metric.ts';
import { Aborts } from './aborts.ts';
import { Answer, type AnswerPorts, exhausted, type MigrationOptions } from './answer.ts';
import { askWorker } from './ask.ts';
import { AssetStore } from './assets.ts';
import { Attempt, type AttemptPorts } from './attempt.ts';
import type { Bus, Ending } from './bus.ts';
import { type Call, callOf, cancelFault, isBegun } from './call.ts';
import { Chooser, type Found, generateOf } from './chooser.ts';
import { Doors, isFull } from './doors.ts';
import { startGatewayHeartbeat } from './gateways.ts';
import { generationOf } from './generation.ts';
import { keyOf } from './group.ts';
import { InFlight } from './in-flight.ts';
import { Inbox, type InboxBound } from './inbox.ts';
import { Pauses } from './pauses.ts';
import { watchPresence } from './presence.ts';
import { Rates } from './rates.ts';
import { Registry } from './registry.ts';
import { missingFor } from './router.ts';
import { StreamHub } from './stream-hub.ts';

/** Deaths, silences, failures of engines; a worker that is full or drains has not failed. */
const failureCountMax = 8;

/** The request itself is at fault: no other worker would take it. */
const final: ReadonlySet<FaultCode> = new Set<FaultCode>([
  'invalid_request',
  'context_length',
  'model_not_found',
  'too_large',
]);

export type ClientOptions = MigrationOptions & {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Log;
  readonly meter?: Meter;
  readonly namespace: string;
  /** `[A-Za-z0-9_-]`, new at every start; drawn where not given. */
  readonly gatewayId?: string;
  /**
   * Prompts with fewer tokens to compute than this are prefilled by the generate worker itself; 0: none
   * while there is a context worker; null: those for which it is cheaper by what was measured.
   */
  readonly localPrefillTokens: number | null;
  /** The only model to serve; every announced one where not given. */
  readonly model?: string;
  /** What may wait for a client before its worker rests; as `limit` says where not given. */
  readonly inboxBound?: InboxBound;
};

export type PlaneClient = Cluster & {
  /** Everyone alive, whatever the state. */
  workers(): readonly Heartbeat[];
  /** What it holds for requests, by name: nothing of it is left when none is under way. */
  held(): Readonly<Record<string, number>>;
  close(): Promise<void>;
};

export function createClient(options: ClientOptions): PlaneClient {
  return new Client(options);
}

class Client implements PlaneClient {
  readonly #options: ClientOptions;
  readonly #registry: Registry;
  readonly #ports: AttemptPorts;
  readonly #assets: AssetStore;
  readonly #presence: Ending;
  readonly #heartbeat: Ending;
  readonly #chooser: Chooser;
  readonly #attempts = new Set<Attempt>();
  readonly #doors = new Doors();
  readonly #answerPorts: AnswerPorts;
  constructor(options: ClientOptions) {
    const { bus, clock, log } = options;
    this.#options = options;
    const subjects = subjectsOf(options.namespace);
    const registry = new Registry({ clock, log, presenceMs: limit.presenceMs });
    this.#registry = registry;
    const gateway = options.gatewayId ?? options.chance.id();
    const hub = new StreamHub({ bus, subjects, gateway, log });
    const inFlight = new InFlight(clock, limit.loadLagMs);
    const rates = new Rates(clock);
    registry.onBeat((worker) => {
      inFlight.heard(worker);
      this.#doors.knock(worker);
    });
    registry.onGone((worker) => {
      inFlight.forget(worker);
      rates.forget(worker);
    });
    const aborts = new Aborts({ bus, clock, log, subjects, registry });
    const pauses = new Pauses({ bus, log, subjects, registry });
    this.#ports = { bus, clock, log, subjects, registry, hub, inFlight, rates, aborts, pauses };
    const { migrationLimit, migrationWaitMs, meter = noMeter } = options;
    const place = (call: Call): Promise<Attempt> => this.#place(call);
    this.#answerPorts = { clock, log, meter, migrationLimit, migrationWaitMs, place };
    const { localPrefillTokens } = options;
    this.#chooser = new Chooser({ bus, clock, log, registry, inFlight, rates, localPrefillTokens });
    this.#assets = new AssetStore({ bus, subjects, registry });
    this.#presence = watchPresence({ bus, clock, log, subjects, registry });
    this.#heartbeat = startGatewayHeartbeat({ bus, clock, log, subjects, gateway, registry });
    bus.onTrouble((trouble) => {
      if (trouble === null) for (const attempt of [...this.#attempts]) attempt.onOutage();
    });
    this.#chooser.listen();
  }

  models(): readonly ServedModel[] {
    const { model } = this.#options;
    return this.#registry.models().filter(({ name }) => model === undefined || name === model);
  }

  workers(): readonly Heartbeat[] {
    return this.#registry.workers();
  }

  held(): Readonly<Record<string, number>> {
    const { inFlight, hub, aborts, pauses } = this.#ports;
    const counts = { inFlight: inFlight.count, streams: hub.openCount, aborts: aborts.count };
    const callers = this.#doors.count;
    return { ...counts, pauses: pauses.count, callers, waiting: this.#chooser.waitingCount };
  }

  unready(): string | null {
    const { bus, model } = this.#options;
    const trouble = bus.trouble();
    if (trouble !== null) return trouble;
    if (this.models().length > 0) return null;
    const of = model === undefined ? '' : ` of model ${model}`;
    const workers = this.#registry.workers();
    const alive = workers.map(({ role, state }) => `${role} ${state}`).join(', ');
    const found = workers.length === 0 ? 'no worker is alive' : `alive: ${alive}`;
    const isDrained = workers.some(({ role, state }) => state === 'draining' && role !== 'context');
    const resume = isDrained ? 'take one that was drained back (tdist workers resume ID), or ' : '';
    return `no generate or baseline worker${of} is ready (${found}); ${resume}start one with the same --request-plane-uri and --namespace`;
  }

  missing(model: string, route: Route): string | null {
    const workers = this.#registry.group(model);
    return workers.length === 0 ? null : missingFor(route, workers);
  }

  onChange(handler: () => void): void {
    this.#registry.onChange(handler);
    this.#options.bus.onTrouble(handler);
  }

  members(): readonly Member[] {
    return this.#registry.members();
  }

  async control(worker: string, action: ControlAction): Promise<Member> {
    const { bus, subjects } = this.#ports;
    if (!this.#registry.has(worker)) throw noSuchWorker(worker);
    const message = { v: protocolVersion, type: 'control', action };
    const refusal = await askWorker({ bus, subjects, worker, op: 'control', message });
    if (refusal !== null) throw refusal;
    // Its word counts, should the heartbeat that says the same be still on its way.
    this.#registry.noteState(worker, action === 'drain' ? 'draining' : 'ready');
    const member = this.#registry.member(worker);
    if (member === null) throw noSuchWorker(worker);
    return member;
  }

  textAssets(model: ServedModel) {
    return this.#assets.get(model);
  }

  async generate(
    request: GenerateRequest,
    { signal, onPlaced = () => undefined }: GenerateOptions,
  ): Promise<Generation> {
    const scope = new AbortController();
    const cancel = () => scope.abort(cancelFault(signal));
    const release = () => signal.removeEventListener('abort', cancel);
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    const call = callOf(request, { scope, onPlaced });
    try {
      const first = await this.#place(call);
      return generationOf(new Answer(call, first, this.#answerPorts, release));
    } catch (error) {
      release();
      throw error;
    }
  }

  async #place(call: Call): Promise<Attempt> {
    try {
      return await this.#tryAll(call);
    } finally {
      this.#doors.leave(call);
    }
  }

  /** One worker, or pair, after another, until the next token is there. */
  async #tryAll(call: Call): Promise<Attempt> {
    const { clock } = this.#options;
    const { signal } = call.scope;
    const beganMs = clock.nowMs();
    for (let failureCount = 0; ; ) {
      let choice = this.#chooser.choose(call);
      while (choice === null) {
        await this.#chooser.change(call);
        choice = this.#chooser.choose(call);
      }
      // Nothing may be awaited between a choice and its attempt: the next choice must know of it.
      const attempt = this.#try(call, choice, clock.nowMs() - beganMs);
      try {
        await attempt.started;
        call.groupKey = keyOf(generateOf(choice).card);
        return attempt;
      } catch (error) {
        const fault = toFault(error);
        if (!isBegun(call)) call.onPlaced(false);
        if (signal.aborted || final.has(fault.code)) throw fault;
        if (isFull(fault)) this.#doors.join(call);
        else if (fault.code !== 'draining' && ++failureCount >= failureCountMax) throw fault;
        this.#noteLoss(call, attempt, fault);
      }
    }
  }

  #try(call: Call, choice: Found, waitedMs: number): Attempt {
    const { request, emittedIds, scope } = call;
    const cancel = () => attempt.cancel(cancelFault(scope.signal));
    const attempt = new Attempt({
      ports: this.#ports,
      planeId: planeId(request.requestId, ++call.tryCount),
      request,
      emittedIds,
      // What a try before the first token has left in its own is of no use.
      inbox: call.inbox ?? new Inbox(this.#options.inboxBound),
      choice,
      waitedMs,
      onTaken: (worker, isLast) => {
        if (isLast && !isBegun(call)) call.onPlaced(true);
        this.#doors.knock(worker);
      },
      onFreed: (worker) => this.#doors.knock(worker),
      onEnd: () => {
        scope.signal.removeEventListener('abort', cancel);
        this.#attempts.delete(attempt);
      },
    });
    this.#attempts.add(attempt);
    scope.signal.addEventListener('abort', cancel, { once: true });
    return attempt;
  }

  /** These workers are not asked again for now. Throws where an answer has lost too many. */
  #noteLoss(call: Call, { culprit: worker, isTaken }: Attempt, fault: Fault): void {
    const { log, migrationLimit } = this.#options;
    const { request, tried } = call;
    const isLost = isTaken && worker !== null;
    if (isBegun(call) && isLost && ++call.lossCount > migrationLimit) {
      throw exhausted(fault, migrationLimit);
    }
    if (worker !== null) tried.set(worker, fault);
    // A full worker is asked again and again: no line for each time.
    const level = isFull(fault) ? 'debug' : 'warn';
    log[level]('Request moved to other workers', {
      request: request.requestId,
      worker,
      code: fault.code,
      reason: fault.message,
    });
  }

  async close(): Promise<void> {
    await this.#presence.stop();
    await this.#heartbeat.stop();
    await this.#ports.hub.stop();
  }
}

/** Unique per try, at most 64 characters. */
function planeId(requestId: string, count: number): string {
  const base = requestId.length <= 54 ? requestId : digest(requestId).slice(0, 48);
  return `${base}-${count}`;
}

function noSuchWorker(worker: string): Fault {
  return new Fault('not_found', `No worker ${worker.slice(0, 100)} is alive; see GET /workers.`);
}
