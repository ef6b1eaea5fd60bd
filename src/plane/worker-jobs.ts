// Between the messages and the engine: each accepted message becomes a command, each event of the
// engine an answer or a token chunk. Holds one Job per request, from the command on until its last
// event. What the engine says about requests that are over is dropped, except that KV exported too
// late is released at once.

import type { EngineEvent } from '../protocol/engine.ts';
import { limit } from '../protocol/limit.ts';
import {
  type Ack,
  type AnnounceMessage,
  type GenerateMessage,
  type HandoverMessage,
  type PauseMessage,
  type PrefillMessage,
  protocolVersion,
  type TokensMessage,
} from '../protocol/message.ts';
import { gatewayOf } from '../protocol/subject.ts';
import { toFault, unreachable } from '../std/fault.ts';
import { encode } from './codec.ts';
import { Handover, type HandoverPorts, handoverMs } from './handover.ts';
import { type Job, no, Pending, yes } from './job.ts';
import { LostStreams } from './lost-streams.ts';
import { oneLine } from './remote-fault.ts';

export type WorkerJobsPorts = HandoverPorts & {
  /** Whether that worker's shared memory can be read here. */
  readonly sees: (worker: string) => boolean;
  readonly workerId: string;
  /** Called whenever the last job has ended. */
  readonly onIdle: () => void;
};

type AdmittedEvent = Extract<EngineEvent, { type: 'admitted' }>;
type TokensEvent = Extract<EngineEvent, { type: 'tokens' }>;
type PrefilledEvent = Extract<EngineEvent, { type: 'prefilled' }>;

/** Ids of aborted requests that a worker remembers. */
const earlyCountMax = 4096;

export class WorkerJobs {
  readonly #ports: WorkerJobsPorts;
  readonly #jobs = new Map<string, Job>();
  /** Aborted before they came, or after they ended; the latest ones. */
  readonly #early = new Set<string>();
  readonly #handover: Handover;
  readonly #lost: LostStreams;

  constructor(ports: WorkerJobsPorts) {
    this.#ports = ports;
    this.#handover = new Handover(ports);
    this.#lost = new LostStreams(ports);
    ports.engine.listen((event) => this.#onEvent(event));
  }

  get count(): number {
    return this.#jobs.size;
  }

  generate(message: GenerateMessage): Promise<Ack> {
    const { source, contextWorker = null } = message;
    const kvPath = 'shm';
    const job = this.#open(message, { source, generateWorker: null, contextWorker, kvPath });
    if (job === null) return Promise.resolve(duplicate(message.requestId));
    this.#ports.engine.submit({ type: 'generate', ...askedOf(message), source });
    return this.#admission(job);
  }

  prefill(message: PrefillMessage): Promise<Ack> {
    const { generateWorker, kvPath = 'shm' } = message;
    const job = this.#open(message, {
      source: 'local',
      generateWorker,
      contextWorker: null,
      kvPath,
    });
    if (job === null) return Promise.resolve(duplicate(message.requestId));
    this.#handover.beginSend(job, message);
    this.#ports.engine.submit({ type: 'prefill', ...askedOf(message), kvPath });
    return this.#admission(job);
  }

  /** Blocks that have left the context worker, while it goes on. */
  announce(message: AnnounceMessage): Ack {
    this.#handover.announced(message);
    return yes;
  }

  handover(message: HandoverMessage): Promise<Ack> {
    const { requestId } = message;
    const job = this.#jobs.get(requestId);
    if (job === undefined) {
      return Promise.resolve(no('not_found', `request ${requestId} is not here`));
    }
    if (job.source !== 'handover' || job.handover !== null) {
      return Promise.resolve(no('invalid_request', `request ${requestId} waits for no KV`));
    }
    job.handover = new Pending();
    void this.#handover.receive(message);
    const waitMs = handoverMs(message.ticket);
    const late = no('timeout', `no import of ${requestId} within ${waitMs} ms`);
    return this.#withDeadline(job.handover, waitMs, () => late);
  }

  abort(requestId: string): Ack {
    // What is to be aborted may still be on its way.
    if (!this.#jobs.has(requestId)) this.#noteEarly(requestId);
    this.#giveUp(requestId, no('cancelled', `request ${requestId} was aborted`));
    return yes;
  }

  /** What is not here has ended, or is not what its gateway takes it for: its silence will tell. */
  pause({ requestId, isPaused, turn }: PauseMessage): Ack {
    const job = this.#jobs.get(requestId);
    if (job === undefined) return no('not_found', `request ${requestId} is not here`);
    if (turn <= job.pauseTurn) return yes;
    job.pauseTurn = turn;
    this.#ports.engine.submit({ type: 'pause', requestId, isPaused });
    return yes;
  }

  /**
   * Gives up what nobody reads any more; how many requests that was. Should one that was silent be alive
   * after all, it shall ask again at once, and not believe that its client has left.
   */
  abortOf(gateway: string, isSilent: boolean): number {
    const jobs = [...this.#jobs.values()].filter(({ stream }) => gatewayOf(stream) === gateway);
    const why = `gateway ${gateway} was silent, its requests were given up`;
    if (isSilent) this.#failThese(jobs, 'plane', why);
    else for (const { requestId } of jobs) this.#giveUp(requestId, no('plane', why));
    return jobs.length;
  }

  /** Gives up everything that runs, telling each gateway why. */
  failAll(code: string, message: string): void {
    this.#failThese([...this.#jobs.values()], code, message);
  }

  #failThese(jobs: readonly Job[], code: string, message: string): void {
    for (const job of jobs) {
      this.#publish(job, { first: job.nextIndex, ids: [], finish: null, fault: { code, message } });
      this.#giveUp(job.requestId, no(code, message));
    }
  }

  #giveUp(requestId: string, ack: Ack): void {
    const job = this.#jobs.get(requestId);
    this.#ports.engine.submit({ type: 'abort', requestId });
    if (job !== undefined) this.#close(job, ack);
  }

  #noteEarly(requestId: string): void {
    this.#early.add(requestId);
    const [oldest] = this.#early;
    if (this.#early.size > earlyCountMax && oldest !== undefined) this.#early.delete(oldest);
  }

  /** Null: it is here already, or was aborted before it came (each try has an id of its own). */
  #open(
    { requestId, type, stream, promptIds, emittedIds = [] }: GenerateMessage | PrefillMessage,
    way: Pick<Job, 'source' | 'generateWorker' | 'contextWorker' | 'kvPath'>,
  ): Job | null {
    if (this.#jobs.has(requestId) || this.#early.delete(requestId)) return null;
    const job: Job = {
      requestId,
      op: type,
      ...way,
      stream,
      givenTokens: promptIds.length + emittedIds.length,
      admission: new Pending(),
      handover: null,
      nextIndex: emittedIds.length,
      over: new AbortController(),
      pauseTurn: 0,
    };
    this.#jobs.set(requestId, job);
    return job;
  }

  /** Ends a job; whoever still waits for an answer about it gets `ack`. */
  #close(job: Job, ack: Ack): void {
    if (!this.#jobs.delete(job.requestId)) return;
    this.#handover.end(job);
    job.admission.settle(ack);
    job.handover?.settle(ack);
    job.over.abort();
    if (this.#jobs.size === 0) this.#ports.onIdle();
  }

  async #admission(job: Job): Promise<Ack> {
    // Earlier than the asker's own deadline, so that the refusal still reaches it.
    const waitMs = limit.admitTimeoutMs * 0.9;
    return await this.#withDeadline(job.admission, waitMs, () => {
      this.abort(job.requestId);
      return no('timeout', `the engine did not admit ${job.requestId} within ${waitMs} ms`);
    });
  }

  async #withDeadline(pending: Pending, waitMs: number, late: () => Ack): Promise<Ack> {
    const timer = this.#ports.clock.after(waitMs, () => pending.settle(late()));
    const ack = await pending.answer;
    timer.cancel();
    return ack;
  }

  #onEvent(event: EngineEvent): void {
    if (event.type === 'load') return; // read by the heartbeat when it is due
    const job = this.#jobs.get(event.requestId);
    if (job === undefined) {
      const { requestId } = event;
      if (event.type === 'prefilled') this.#ports.engine.submit({ type: 'release', requestId });
      return;
    }
    switch (event.type) {
      case 'admitted':
        this.#onAdmitted(job, event);
        return;
      case 'refused':
        this.#close(job, no(event.code, event.message));
        return;
      case 'tokens':
        this.#onTokens(job, event);
        return;
      case 'prefilled':
        this.#handOver(job, event).catch((error: unknown) => {
          this.#ports.log.error('hand-over failed', { reason: toFault(error).message });
        });
        return;
      case 'staged':
        this.#handover.staged(job, event);
        return;
      case 'placed':
        this.#handover.placed(event);
        return;
      case 'imported':
        job.handover?.settle(event.refusal ?? yes);
        return;
      default:
        unreachable(event);
    }
  }

  #onAdmitted(job: Job, { waitedMs = 0, heldTokens = 0 }: AdmittedEvent): void {
    if (job.source === 'handover') this.#handover.beginReceive(job, heldTokens);
    const { contextWorker } = job;
    const shm = contextWorker === null ? {} : { shm: this.#ports.sees(contextWorker) };
    job.admission.settle({ v: protocolVersion, ok: true, waitedMs, heldTokens, ...shm });
  }

  #onTokens(job: Job, event: TokensEvent): void {
    job.admission.settle(yes);
    const { first, ids, logprobs, scores, finish, stopToken, fault, timing } = event;
    job.nextIndex = first + ids.length;
    const sent = this.#publish(job, {
      first,
      ids: [...ids],
      finish,
      ...(logprobs === undefined ? {} : { logprobs: [...logprobs] }),
      ...(scores === undefined ? {} : { scores }),
      ...(stopToken === undefined ? {} : { stopToken }),
      ...(fault === undefined ? {} : { fault }),
      ...(timing === undefined ? {} : { timing }),
    });
    if (fault !== undefined) this.#close(job, no(fault.code, fault.message));
    else if (finish !== null) this.#close(job, yes);
    else if (!sent) this.abort(job.requestId);
  }

  async #handOver(job: Job, event: PrefilledEvent): Promise<void> {
    if (event.fault !== undefined) {
      const { code, message } = event.fault;
      const { log } = this.#ports;
      log.warn('KV export failed', { request: job.requestId, code, why: oneLine(message) });
    }
    const lost = await this.#handover.send(job, event);
    // Nobody will go on from token 1: the gateway hears of it now.
    if (lost !== null) {
      const { code, message } = lost;
      this.#publish(job, { first: job.nextIndex, ids: [], finish: null, fault: { code, message } });
    }
    this.#close(job, yes);
  }

  #publish(job: Job, part: Omit<TokensMessage, 'v' | 'type' | 'requestId' | 'worker'>) {
    const { bus, log, workerId } = this.#ports;
    const { requestId, stream } = job;
    const chunk: TokensMessage = {
      v: protocolVersion,
      type: 'tokens',
      requestId,
      worker: workerId,
      ...part,
      ...(part.fault === undefined ? {} : { fault: bounded(part.fault) }),
    };
    try {
      bus.publish(stream, encode(chunk));
      return true;
    } catch (error) {
      log.warn('Tokens lost', { request: requestId, reason: toFault(error).message });
      this.#lost.note(job);
      return false;
    }
  }
}

/** What the engine is asked either way. */
function askedOf(message: GenerateMessage | PrefillMessage) {
  const { requestId, promptIds, emittedIds = [], sampling, priority, shared, cacheSalt } = message;
  return { requestId, promptIds, emittedIds, sampling, priority, shared, cacheSalt };
}

/** A message of any length would make the chunk unreadable for the gateway. */
function bounded({ code, message }: NonNullable<TokensMessage['fault']>) {
  return { code, message: oneLine(message) };
}

function duplicate(requestId: string): Ack {
  const text = `request ${requestId} is already running on this worker, or was aborted before it came`;
  return no('invalid_request', text);
}
