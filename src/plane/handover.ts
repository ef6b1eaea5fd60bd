// KV's way from a context worker's engine to a generate worker's, as far as messages go: the ticket and
// its answer, blocks announced before it where they travel over the network, and what is said where one
// of them cannot be made or read. A hand-over never fails a request: without KV the generate worker
// prefills.

import type { KvPaths } from '../kv/transfer.ts';
import type { EngineEvent, EnginePort, Refusal } from '../protocol/engine.ts';
import { limit } from '../protocol/limit.ts';
import {
  type AnnounceMessage,
  type HandoverMessage,
  type PrefillMessage,
  protocolVersion,
} from '../protocol/message.ts';
import type { Subjects } from '../protocol/subject.ts';
import type { Ticket } from '../protocol/ticket.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import { askWorker } from './ask.ts';
import type { Bus } from './bus.ts';
import { encode } from './codec.ts';
import type { Job } from './job.ts';
import { oneLine } from './remote-fault.ts';

export type HandoverPorts = {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly subjects: Subjects;
  readonly engine: EnginePort;
  /** How KV comes and goes. */
  readonly kv: KvPaths;
  /** Of the blocks that leave. */
  readonly kvDtype: string;
};

/** The message did not get through as it was: a ticket of another release, too large, or no plane. */
const unread: ReadonlySet<string> = new Set(['plane', 'too_large', 'timeout']);

type EventOf<T extends EngineEvent['type']> = Extract<EngineEvent, { type: T }>;

/** How long a hand-over may take: over the network the last blocks may still be on their way. */
export function handoverMs(ticket: Ticket | null): number {
  return limit.leaseMs + (ticket?.kind === 'object' ? limit.objectTransferMs : 0);
}

export class Handover {
  readonly #ports: HandoverPorts;

  constructor(ports: HandoverPorts) {
    this.#ports = ports;
  }

  // --- the context worker's side

  /** A prefill begins: from now on blocks may leave. */
  beginSend(job: Job, { heldTokens = 0 }: PrefillMessage): void {
    const announce = (blocks: AnnounceMessage['blocks']): void => this.#announce(job, blocks);
    this.#ports.kv.send[job.kvPath].begin({ requestId: job.requestId, heldTokens, announce });
  }

  staged(job: Job, { requestId, blocks }: EventOf<'staged'>): void {
    this.#ports.kv.send[job.kvPath].stage(requestId, blocks);
  }

  /**
   * Sends the ticket and ends the lease, whatever the answer. Returns why nobody will go on from token 1;
   * null: the generate worker does, with the KV or without.
   */
  async send(job: Job, event: EventOf<'prefilled'>): Promise<Fault | null> {
    const { engine, log } = this.#ports;
    const { requestId, generateWorker: worker } = job;
    if (worker === null) throw new Fault('internal', `${requestId} was not a prefill`);
    const release = (): void => engine.submit({ type: 'release', requestId });
    const message = await this.#message(job, event);
    const { ticket } = message;
    // What was uploaded is no longer needed here; what is read from the arena is.
    if (ticket?.kind !== 'shm') release();
    let refusal = await this.#ask(job, worker, message);
    if (ticket?.kind === 'shm') release();
    if (refusal !== null && unread.has(refusal.code) && ticket !== null) {
      log.warn('Ticket not understood', { request: requestId, worker, why: refusal.message });
      refusal = await this.#ask(job, worker, { ...message, ticket: null });
    }
    if (refusal === null || refusal.code === 'cancelled') return null;
    const { code, message: why, reason } = refusal;
    if (reason !== undefined) this.#ports.kv.send[job.kvPath].refused(requestId, reason);
    log.warn('Hand-over failed', { request: requestId, worker, code, why });
    // After any other refusal (a mismatch, a lost lease) the generate worker prefills by itself.
    const isLost = unread.has(code) || code === 'no_worker' || code === 'not_found';
    return isLost ? new Fault('no_worker', `worker ${worker}: ${why}`) : null;
  }

  // --- the generate worker's side

  /** The reservation has its slot, and `heldTokens` of the prompt in it. */
  beginReceive({ requestId, givenTokens }: Job, heldTokens: number): void {
    this.#ports.kv.receive.object.begin({ requestId, promptTokens: givenTokens, heldTokens });
  }

  announced({ requestId, dtype, blocks }: AnnounceMessage): void {
    this.#ports.kv.receive.object.announce(requestId, dtype, blocks);
  }

  placed({ requestId, computed, refusal }: EventOf<'placed'>): void {
    const fault = refusal === null ? null : transferFault(refusal);
    this.#ports.kv.receive.object.placed(requestId, computed, fault);
  }

  /** Waits for what is still on its way; whatever comes of it, the engine goes on. */
  async receive({ requestId, firstToken, ticket, flaw }: HandoverMessage): Promise<void> {
    const { clock, engine, kv } = this.#ports;
    const what = { type: 'import', requestId, firstToken } as const;
    if (ticket === null) {
      const refusal = flaw === undefined ? {} : { refusal: refusalOf(flaw) };
      return engine.submit({ ...what, ticket: null, ...refusal });
    }
    const beganMs = clock.nowMs();
    try {
      await kv.receive[ticket.kind].finish(requestId, ticket);
      engine.submit({ ...what, ticket, waitedMs: clock.nowMs() - beganMs });
    } catch (thrown) {
      const refusal = refusalOf(toFault(thrown, 'transfer'));
      engine.submit({ ...what, ticket: null, refusal });
    }
  }

  /** The job is over, at whatever point. */
  end({ requestId, op, source, kvPath }: Job): void {
    const { send, receive } = this.#ports.kv;
    if (op === 'prefill') send[kvPath].end(requestId);
    else if (source === 'handover') receive.object.end(requestId);
  }

  async #message(job: Job, event: EventOf<'prefilled'>): Promise<HandoverMessage> {
    const { requestId, kvPath } = job;
    const { firstToken } = event;
    const message = { v: protocolVersion, type: 'handover', requestId, firstToken } as const;
    if (event.ticket === null) return { ...message, ticket: null };
    try {
      const ticket = await this.#ports.kv.send[kvPath].offer(requestId, event.ticket);
      return { ...message, ticket };
    } catch (thrown) {
      const fault = toFault(thrown, 'transfer');
      if (!job.over.signal.aborted) {
        this.#ports.log.warn('KV not sent', { request: requestId, why: fault.message });
      }
      const { code, message: why, reason } = refusalOf(fault);
      const flaw = { code, message: why, ...(reason === undefined ? {} : { reason }) };
      return { ...message, ticket: null, flaw };
    }
  }

  #announce(job: Job, blocks: AnnounceMessage['blocks']): void {
    const { bus, log, subjects, kvDtype } = this.#ports;
    const { requestId, generateWorker } = job;
    if (generateWorker === null) return;
    const message: AnnounceMessage = {
      v: protocolVersion,
      type: 'announce',
      requestId,
      dtype: kvDtype,
      blocks,
    };
    try {
      bus.publish(subjects.worker(generateWorker, 'announce'), encode(message));
    } catch (error) {
      log.debug('announcement not sent', { reason: toFault(error).message });
    }
  }

  async #ask(job: Job, worker: string, message: HandoverMessage): Promise<Fault | null> {
    const { bus, subjects } = this.#ports;
    const signal = job.over.signal;
    const timeoutMs = handoverMs(message.ticket);
    try {
      const op = 'handover';
      return await askWorker({ bus, subjects, worker, op, message, signal, timeoutMs });
    } catch (error) {
      const fault = toFault(error);
      // A large message that was lost in the object store is not KV that could not be read.
      return fault.code === 'transfer' ? new Fault('plane', fault.message) : fault;
    }
  }
}

type Flaw = {
  readonly code: string;
  readonly message: string;
  readonly reason?: string | undefined;
};

function refusalOf({ code, message, reason }: Flaw): Refusal {
  const word = reason === undefined ? {} : { reason };
  return { v: protocolVersion, ok: false, code, message: oneLine(message), ...word };
}

function transferFault({ code, message, reason }: Refusal): Fault {
  const known = code === 'mismatch' ? 'mismatch' : 'transfer';
  return new Fault(known, message, reason === undefined ? {} : { reason });
}
