// The gateway's end of its thread of grammars: says which ones can be held to, and remembers it. Started
// at the first one. A grammar that takes too long is refused and its thread ended; those that waited
// behind it are looked at by the next one.

import type { GrammarCheck } from '../grammar/guide.ts';
import type { GrammarSpec } from '../protocol/grammar.ts';
import { limit } from '../protocol/limit.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, type FaultCode } from '../std/fault.ts';
import type { GrammarThread } from './grammar-port.ts';
import type { FromGrammar } from './grammar-thread.ts';
import { type Task, unstartedFault, Watch } from './grammar-watch.ts';

type Job = Task & {
  readonly number: number;
  readonly spec: GrammarSpec;
  readonly result: PromiseWithResolvers<void>;
};
type Answer = Extract<FromGrammar, { type: 'checked' }>['fault'];

export class ThreadGrammarCheck implements GrammarCheck {
  readonly #start: () => GrammarThread;
  readonly #watch: Watch<Job>;
  readonly #jobs = new Map<number, Job>();
  /** By text, those that are being looked at. */
  readonly #pending = new Map<string, Promise<void>>();
  readonly #verdicts = new Verdicts();
  #thread: GrammarThread | null = null;
  #jobCount = 0;

  constructor(ports: { clock: Clock; start: () => GrammarThread }) {
    this.#start = ports.start;
    this.#watch = new Watch(ports.clock, ({ task: job, hasStarted }) => {
      const text = `compiling it took longer than ${job.limitMs} ms; make it simpler`;
      this.#restart(job, hasStarted ? new Fault('invalid_request', text) : unstartedFault());
    });
  }

  async check(spec: GrammarSpec): Promise<void> {
    const key = JSON.stringify(spec);
    const known = this.#verdicts.get(key);
    if (known !== undefined) return settle(known);
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    if (this.#jobs.size >= limit.grammarCheckCountMax) {
      const text = `${this.#jobs.size} grammars wait to be compiled; send the request again later`;
      throw new Fault('queue_full', text);
    }
    const job = this.#send(spec);
    const { promise } = job.result;
    this.#pending.set(key, promise);
    try {
      await promise;
      this.#verdicts.put(key, null);
    } catch (thrown) {
      // One that was late, or met a broken thread, may be luckier the next time.
      if (thrown instanceof Wrong) this.#verdicts.put(key, thrown.answer);
      throw thrown;
    } finally {
      this.#pending.delete(key);
    }
  }

  stop(): void {
    this.#endThread();
    for (const { result } of this.#jobs.values()) {
      result.reject(new Fault('draining', 'the gateway stops'));
    }
    this.#jobs.clear();
  }

  #send(spec: GrammarSpec): Job {
    const number = ++this.#jobCount;
    const limitMs = limit.grammarCompileMs;
    const isDone = (): boolean => !this.#jobs.has(number);
    const job = { number, spec, limitMs, isDone, result: Promise.withResolvers<void>() };
    this.#jobs.set(number, job);
    this.#post(job);
    return job;
  }

  #post(job: Job): void {
    this.#thread ??= this.#listenTo(this.#start());
    this.#thread.postMessage({ type: 'check', job: job.number, spec: job.spec });
    this.#watch.add(job);
  }

  #listenTo(thread: GrammarThread): GrammarThread {
    thread.onmessage = ({ data: message }) => {
      if (message.type === 'ready') return this.#watch.ready();
      if (message.type !== 'checked') return;
      const job = this.#jobs.get(message.job);
      this.#jobs.delete(message.job);
      if (message.fault === null) job?.result.resolve();
      else job?.result.reject(new Wrong(message.fault));
    };
    thread.onerror = ({ message }) => {
      const text = `the thread of grammars failed: ${message || 'without a word'}`;
      this.#restart(this.#watch.first, new Fault('internal', text));
    };
    return thread;
  }

  #endThread(): void {
    this.#watch.clear();
    if (this.#thread === null) return;
    this.#thread.onmessage = null;
    this.#thread.onerror = null;
    this.#thread.terminate();
    this.#thread = null;
  }

  #restart(culprit: Job | null, fault: Fault): void {
    this.#endThread();
    if (culprit !== null) {
      this.#jobs.delete(culprit.number);
      culprit.result.reject(fault);
    }
    for (const job of this.#jobs.values()) this.#post(job);
  }
}

/** What the thread said: the same grammar gets the same answer again. */
class Wrong extends Fault {
  readonly answer: NonNullable<Answer>;

  constructor(answer: NonNullable<Answer>) {
    // The code crossed a thread as text; it was one of ours when it left.
    super(answer.code as FaultCode, answer.message);
    this.answer = answer;
  }
}

function settle(answer: Answer): void {
  if (answer !== null) throw new Wrong(answer);
}

/** The least recently used forgotten first, by number and by length of their texts. */
class Verdicts {
  readonly #answers = new Map<string, Answer>();
  #chars = 0;

  get(key: string): Answer | undefined {
    const answer = this.#answers.get(key);
    if (answer === undefined) return undefined;
    this.#answers.delete(key);
    this.#answers.set(key, answer);
    return answer;
  }

  put(key: string, answer: Answer): void {
    if (!this.#answers.has(key)) this.#chars += key.length;
    this.#answers.set(key, answer);
    for (const oldest of this.#answers.keys()) {
      const { grammarVerdictCountMax, grammarVerdictCharsMax } = limit;
      const isFull = this.#answers.size > grammarVerdictCountMax;
      if (!isFull && this.#chars <= grammarVerdictCharsMax) return;
      this.#answers.delete(oldest);
      this.#chars -= oldest.length;
    }
  }
}
