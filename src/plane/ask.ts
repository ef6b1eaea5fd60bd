// One question to one worker, answered by an acknowledgement. A refusal becomes a Fault with the
// worker's code; so do silence and absence.

import { limit } from '../protocol/limit.ts';
import { type Ack, ackSchema, type WorkerOp } from '../protocol/message.ts';
import type { Subjects } from '../protocol/subject.ts';
import type { Fault } from '../std/fault.ts';
import type { Bus } from './bus.ts';
import { decode, encode } from './codec.ts';
import { remoteFault } from './remote-fault.ts';

export type Question = {
  readonly bus: Bus;
  readonly subjects: Subjects;
  readonly worker: string;
  readonly op: WorkerOp;
  readonly message: object;
  readonly signal?: AbortSignal;
  /** Told what came with a yes. */
  readonly onYes?: (ack: Extract<Ack, { ok: true }>) => void;
  /** `limit.replyTimeoutMs` unless told. */
  readonly timeoutMs?: number;
};

/** Null for a yes, the Fault for a no. Throws a Fault where there was no usable answer. */
export async function askWorker(question: Question): Promise<Fault | null> {
  const { bus, subjects, worker, op, message, signal, timeoutMs } = question;
  const options = {
    timeoutMs: timeoutMs ?? limit.replyTimeoutMs,
    ...(signal === undefined ? {} : { signal }),
  };
  const reply = await bus.request(subjects.worker(worker, op), encode(message), options);
  const ack = decode(ackSchema, reply, `reply of worker ${worker} to ${op}`);
  if (!ack.ok) return remoteFault(ack.code, ack.message, ack.reason);
  question.onYes?.(ack);
  return null;
}
