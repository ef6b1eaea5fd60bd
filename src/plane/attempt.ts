// One try to serve a request on one choice of workers: reserve, prefill, stream. It knows at each
// moment which workers hold something for it (they get an abort when it ends early) and which still
// owe something (their death matters). Starting again elsewhere is the client's business. Where it goes
// on with an answer, "token 0" is the first one behind what is out.
//
//   reserve (generate) ─▶ prefill (context) ─▶ token 0 (context) ─▶ tokens 1… (generate) ─▶ finish
//   holds: generate        + context             context owes the      generate owes all
//                                                hand-over until token 1

import { limit } from '../protocol/limit.ts';
import {
  type Ack,
  protocolVersion,
  type TokensMessage,
  type WorkerOp,
} from '../protocol/message.ts';
import type { GenerateRequest, Timing } from '../protocol/request.ts';
import type { Subjects } from '../protocol/subject.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import type { Aborts } from './aborts.ts';
import { askWorker } from './ask.ts';
import type { Bus } from './bus.ts';
import type { InFlight, Work } from './in-flight.ts';
import type { Inbox } from './inbox.ts';
import { type PairPath, pathUnseen } from './kv-path.ts';
import { Learning } from './learning.ts';
import { Pace } from './pace.ts';
import type { Pauses } from './pauses.ts';
import type { Rates } from './rates.ts';
import { Reassembly } from './reassembly.ts';
import type { Registry } from './registry.ts';
import { remoteFault } from './remote-fault.ts';
import type { Choice } from './router.ts';
import type { StreamHub } from './stream-hub.ts';
import { TimingSum } from './timing.ts';
import { GapTimer } from './watchdog.ts';

export type AttemptPorts = {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly subjects: Subjects;
  readonly registry: Registry;
  readonly hub: StreamHub;
  readonly inFlight: InFlight;
  readonly rates: Rates;
  readonly aborts: Aborts;
  readonly pauses: Pauses;
};

export type AttemptOptions = {
  readonly ports: AttemptPorts;
  /** The request's id on the plane: another one at each try. */
  readonly planeId: string;
  readonly request: GenerateRequest;
  /** Tokens of the answer that are out; the workers go on behind them. */
  readonly emittedIds: readonly number[];
  /** Where the tokens go; a failure is told by `started` and `over` alone. */
  readonly inbox: Inbox;
  readonly choice: Exclude<Choice, { route: 'none' }>;
  /** How long the request had waited before this try. */
  readonly waitedMs: number;
  /** A worker has taken its part on; `isLast`: so have all. */
  readonly onTaken: (worker: string, isLast: boolean) => void;
  /** A worker that had taken it on has its room back. */
  readonly onFreed: (worker: string) => void;
  readonly onEnd: () => void;
};

export class Attempt {
  /** Resolves when token 0 is in the inbox, rejects with a Fault when that will not happen. */
  readonly started: Promise<void>;
  /** Resolves at its end: null where all tokens have come, else why not. */
  readonly over: Promise<Fault | null>;
  readonly inbox: Inbox;
  readonly #options: AttemptOptions;
  readonly #ports: AttemptPorts;
  readonly #context: string | null;
  readonly #generate: string;
  readonly #timing: TimingSum;
  readonly #learning: Learning;
  readonly #stream: Reassembly;
  readonly #first = Promise.withResolvers<void>();
  readonly #last = Promise.withResolvers<Fault | null>();
  readonly #asking = new AbortController();
  readonly #holders = new Set<string>();
  readonly #owing = new Set<string>();
  readonly #takers = new Set<string>();
  readonly #pace: Pace;
  readonly #gap: GapTimer;
  readonly #unwatch: () => void;
  /** How the KV is to travel; null: it is not to. */
  #path: PairPath | null;
  /** Leading tokens of the prompt whose KV the generate worker holds already. */
  #heldTokens = 0;
  #isStreaming = false;
  #isOver = false;
  #wasTaken = false;
  #culprit: string | null = null;

  constructor(options: AttemptOptions) {
    const { ports, choice, planeId, waitedMs } = options;
    this.#options = options;
    this.#ports = ports;
    this.started = this.#first.promise;
    this.over = this.#last.promise;
    this.inbox = options.inbox;
    this.#stream = new Reassembly(options.emittedIds);
    this.#context = choice.route === 'disaggregated' ? choice.context.worker : null;
    this.#generate =
      choice.route === 'aggregated' ? choice.baseline.worker : choice.generate.worker;
    this.#path = choice.route === 'disaggregated' ? choice.kvPath : null;
    this.#timing = new TimingSum(choice, waitedMs);
    const promptTokens = options.request.promptIds.length + options.emittedIds.length;
    this.#learning = new Learning({ ...ports, choice, promptTokens });
    this.#pace = new Pace({
      ...ports,
      inbox: this.inbox,
      worker: this.#generate,
      planeId,
      onSilence: (silentMs) => this.#onSilence(silentMs),
    });
    this.#gap = new GapTimer(ports.clock, limit.gapTimeoutMs, () => {
      const missing = this.#hasTokens ? this.#generate : this.#context;
      this.#fail(this.#stream.gapFault(), missing ?? this.#generate);
    });
    this.#unwatch = ports.registry.onGone((worker, why) => this.#onGone(worker, why));
    ports.hub.open(planeId, {
      onChunk: (chunk) => this.#onChunk(chunk),
      onBadChunk: (why) => this.#fail(new Fault('plane', why), this.#generate),
    });
    if (this.#context !== null) this.#engage(this.#context);
    this.#engage(this.#generate);
    this.#begin().catch((error: unknown) => this.#fail(toFault(error), null));
  }

  /** The worker at whose door the failure lies; null: none (the plane, or a cancel). */
  get culprit(): string | null {
    return this.#culprit;
  }

  /** The culprit had taken it on: what happened then may be the request's doing. */
  get isTaken(): boolean {
    return this.#wasTaken;
  }

  /** All tokens that are out by now, those before this try included. */
  get ids(): readonly number[] {
    return this.#stream.ids;
  }

  timing(): Timing {
    return this.#timing.get();
  }

  /** Ends it from outside; workers that hold something are told. */
  cancel(fault: Fault): void {
    this.#fail(fault, null);
  }

  /** The request plane was away and is back: what was sent to us meanwhile is lost, and nobody says so. */
  onOutage(): void {
    if (this.#isOver) return;
    if (this.#isStreaming) {
      this.#pace.onOutage();
    } else {
      // The first token may have been among it. Nothing is told to the client yet: begin anew.
      this.#fail(new Fault('plane', 'the request plane was away before the first token'), null);
    }
  }

  async #begin(): Promise<void> {
    const { promptIds, sampling, priority, shared, cacheSalt } = this.#options.request;
    const requestId = this.#options.planeId;
    const stream = this.#ports.hub.subjectOf(requestId);
    const { emittedIds } = this.#options;
    const isContinued = emittedIds.length > 0;
    const kept = {
      // Those who were to follow have not waited.
      ...(shared && !isContinued && { shared }),
      ...(cacheSalt !== undefined && { cacheSalt }),
      ...(isContinued && { emittedIds }),
    };
    const common = {
      v: protocolVersion,
      requestId,
      promptIds,
      sampling,
      priority,
      ...kept,
      stream,
    };
    const source = this.#context === null ? 'local' : 'handover';
    const seen = this.#path?.path === 'shm' ? { contextWorker: this.#context } : {};
    const reserve = { ...common, type: 'generate', source, ...seen };
    if (!(await this.#place(this.#generate, 'generate', reserve))) return;
    if (this.#context === null) return;
    const kvPath = this.#path?.path ?? 'shm';
    const whereto = { generateWorker: this.#generate, kvPath, heldTokens: this.#heldTokens };
    const prefill = { ...common, type: 'prefill', ...whereto };
    await this.#place(this.#context, 'prefill', prefill);
  }

  /** Counts on a worker, and counts it in: from the choice on, or a burst would all go one way. */
  #engage(worker: string): void {
    this.#owing.add(worker);
    this.#ports.inFlight.add(worker, this.#options.planeId, this.#workOf(worker));
  }

  /** Gives work to a worker. From before the question on it may hold something. */
  async #place(worker: string, op: WorkerOp, message: object): Promise<boolean> {
    const { bus, subjects } = this.#ports;
    this.#holders.add(worker);
    let refusal: Fault | null;
    try {
      const signal = this.#asking.signal;
      const timeoutMs = limit.admitTimeoutMs;
      // A worker that prefills tells of its queue with its tokens; one that waits for KV only here.
      const reserves = worker !== this.#context && this.#context !== null;
      refusal = await askWorker({
        bus,
        subjects,
        worker,
        op,
        message,
        signal,
        timeoutMs,
        ...(reserves ? { onYes: (ack) => this.#noteReserved(ack) } : {}),
      });
    } catch (error) {
      const fault = toFault(error);
      if (fault.code === 'no_worker' || fault.code === 'too_large') this.#holders.delete(worker);
      this.#fail(fault, bus.trouble() === null ? worker : null);
      return false;
    }
    if (refusal === null) {
      if (this.#isOver) return false;
      this.#takers.add(worker);
      this.#options.onTaken(worker, this.#takers.size === (this.#context === null ? 1 : 2));
      return true;
    }
    this.#holders.delete(worker);
    this.#fail(refusal, worker);
    return false;
  }

  #noteReserved({ waitedMs = 0, heldTokens = 0, shm = true }: Extract<Ack, { ok: true }>): void {
    const { choice } = this.#options;
    this.#heldTokens = heldTokens;
    // It cannot see the other's memory after all: heartbeats only say that it should.
    if (!shm && choice.route === 'disaggregated') {
      const unseen = pathUnseen(choice.context, choice.generate);
      if (unseen !== null) this.#setPath(unseen);
    }
    this.#timing.addQueue(waitedMs);
    this.#learning.noteSlotWait(waitedMs);
  }

  #setPath(path: PairPath): void {
    this.#path = path;
    this.#timing.setPath(path.reason);
  }

  #workOf(worker: string): Work {
    const { choice, request } = this.#options;
    const { promptIds, sampling } = request;
    const kvTokens = promptIds.length + sampling.maxTokens;
    const prefills = this.#context === null || worker === this.#context;
    return { prefillTokens: prefills ? choice.prefillTokens : 0, kvTokens };
  }

  #onChunk(chunk: TokensMessage): void {
    const { worker, fault, timing } = chunk;
    if (this.#isOver || (worker !== this.#generate && worker !== this.#context)) return;
    this.#pace.note();
    if (fault !== undefined) {
      this.#holders.delete(worker);
      this.#onLost(worker, remoteFault(fault.code, fault.message));
      return;
    }
    if (timing !== undefined) {
      this.#timing.add(timing);
      this.#learning.note(worker, timing);
    }
    this.#ports.inFlight.prefilled(worker, this.#options.planeId);
    if (worker === this.#generate && this.#context !== null) this.#dismiss(this.#context);
    try {
      const deltas = this.#stream.accept(chunk);
      if (chunk.finish !== null) this.#dismiss(worker);
      for (const delta of deltas) {
        if (!this.inbox.push(delta)) throw new Fault('overloaded', 'the client reads too slowly');
      }
    } catch (error) {
      this.#fail(toFault(error), worker);
      return;
    }
    this.#gap.note(this.#stream.gapAt);
    if (!this.#isStreaming && (this.#hasTokens || this.#stream.finished)) {
      this.#isStreaming = true;
      this.#pace.begin();
      this.#first.resolve();
    }
    if (this.#stream.finished) {
      this.#end();
      this.#last.resolve(null);
    }
  }

  /** At least one of its own is out. */
  get #hasTokens(): boolean {
    return this.#stream.ids.length > this.#options.emittedIds.length;
  }

  #onGone(worker: string, why: string): void {
    if (!this.#owing.has(worker)) return;
    // It stays a holder: one that was only silent for a while is told to stop when it is heard again.
    this.#onLost(worker, new Fault('no_worker', `worker ${worker} ${why}`));
  }

  /** A worker will not do what it owes. A lost context after token 0 can be done without. */
  #onLost(worker: string, fault: Fault): void {
    if (!this.#owing.has(worker)) return;
    const firstToken = this.#stream.ids[this.#options.emittedIds.length];
    if (worker !== this.#context || firstToken === undefined) {
      this.#fail(fault, worker);
      return;
    }
    this.#dismiss(worker);
    this.#takeOver(firstToken, fault).catch((error: unknown) => {
      this.#fail(toFault(error), this.#generate);
    });
  }

  /** In the context worker's place: asks the generate worker to prefill by itself and go on. */
  async #takeOver(firstToken: number, why: Fault): Promise<void> {
    const { bus, subjects, log } = this.#ports;
    const worker = this.#generate;
    const requestId = this.#options.planeId;
    log.warn('Hand-over lost, prefilling again', { request: requestId, worker, why: why.message });
    const message = { v: protocolVersion, type: 'handover', requestId, firstToken, ticket: null };
    const signal = this.#asking.signal;
    const op = 'handover';
    const timeoutMs = limit.leaseMs;
    const refusal = await askWorker({ bus, subjects, worker, op, message, signal, timeoutMs });
    // `invalid_request`: the ticket had arrived after all.
    if (refusal === null || refusal.code === 'invalid_request') return;
    // It has given the request up, or never had it: as good as gone, and nothing of the client's doing.
    if (refusal.code === 'not_found') throw new Fault('no_worker', refusal.message);
    throw refusal;
  }

  #onSilence(silentMs: number): void {
    const worker = this.#isStreaming ? this.#generate : (this.#context ?? this.#generate);
    const text = `worker ${worker} sent nothing for ${Math.round(silentMs)} ms`;
    // What it sent during our outage is lost: it may be as well as ever, and be asked again.
    if (this.#pace.wasAway) this.#fail(new Fault('plane', `${text} after an outage`), worker);
    else this.#fail(new Fault('timeout', text), worker);
  }

  /** The worker owes nothing more and holds nothing more. */
  #dismiss(worker: string): void {
    this.#holders.delete(worker);
    if (this.#owing.delete(worker)) this.#ports.inFlight.remove(worker, this.#options.planeId);
    if (this.#takers.delete(worker)) this.#options.onFreed(worker);
  }

  #fail(fault: Fault, culprit: string | null): void {
    if (this.#isOver) return;
    this.#culprit = culprit;
    this.#wasTaken = culprit !== null && this.#takers.has(culprit);
    this.#end();
    this.#first.reject(fault);
    this.#last.resolve(fault);
  }

  #end(): void {
    this.#isOver = true;
    this.#ports.hub.close(this.#options.planeId);
    this.#unwatch();
    this.#pace.end();
    this.#gap.stop();
    this.#asking.abort();
    for (const worker of this.#holders) this.#ports.aborts.send(worker, this.#options.planeId);
    for (const worker of [...this.#owing]) this.#dismiss(worker);
    this.#options.onEnd();
  }
}
