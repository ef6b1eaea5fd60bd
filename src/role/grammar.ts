// The engine's end of its thread of grammars. Asks go out together after each step, masks are seen in
// shared memory in the middle of one. A thread that takes too long, or dies, is ended: what it was at
// fails for its sequence alone, all others are followed again by the next one, from their ids.

import type { GrammarAsk } from '../grammar/desk.ts';
import type { Grammars, Guide, TokenMask } from '../grammar/guide.ts';
import { Lane } from '../grammar/lane.ts';
import type { Vocabulary } from '../grammar/vocabulary.ts';
import type { GrammarSpec } from '../protocol/grammar.ts';
import { limit } from '../protocol/limit.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, type FaultCode } from '../std/fault.ts';
import type { GrammarThread } from './grammar-port.ts';
import type { FromGrammar } from './grammar-thread.ts';
import { type Task, unstartedFault, Watch } from './grammar-watch.ts';

/** What an engine room needs of them. */
export type WorkerGrammars = Grammars & {
  learn(vocabulary: Vocabulary): void;
  stop(): void;
};

type SeatTask = Task & { readonly seat: Seat; readonly what: string };

export class ThreadGrammars implements WorkerGrammars {
  readonly #start: () => GrammarThread;
  readonly #wake: () => void;
  readonly #watch: Watch<SeatTask>;
  readonly #seats = new Map<number, Seat>();
  #vocabulary: Vocabulary | null = null;
  #thread: GrammarThread | null = null;
  #asks: GrammarAsk[] = [];
  #seatCount = 0;

  /** @param wake masks have come that were waited for, or never will. */
  constructor(ports: { clock: Clock; start: () => GrammarThread; wake: () => void }) {
    this.#start = ports.start;
    this.#wake = ports.wake;
    this.#watch = new Watch(ports.clock, ({ task: { seat, what, limitMs }, hasStarted }) => {
      const text = `${what} took longer than ${limitMs} ms; make the grammar simpler`;
      this.#restart(seat, hasStarted ? new Fault('invalid_request', text) : unstartedFault());
    });
  }

  get openCount(): number {
    return this.#seats.size;
  }

  learn(vocabulary: Vocabulary): void {
    this.#vocabulary = vocabulary;
    this.#restart(null, null);
  }

  open(spec: GrammarSpec): Guide {
    if (this.#vocabulary === null) {
      throw new Fault('engine', 'this worker has no vocabulary to match grammars with');
    }
    const number = ++this.#seatCount;
    const seat = new Seat(number, spec, {
      tokenCount: this.#vocabulary.size,
      ask: (ask, task) => this.#ask(ask, task),
      forget: () => this.#seats.delete(number),
    });
    this.#seats.set(number, seat);
    seat.begin();
    return seat;
  }

  stop(): void {
    this.#asks = [];
    this.#watch.clear();
    this.#endThread();
  }

  /** Once for all that one step of the engine asks. */
  #ask(ask: GrammarAsk, task: SeatTask | null): void {
    if (this.#asks.length === 0) queueMicrotask(() => this.#flush());
    this.#asks.push(ask);
    if (task !== null) this.#watch.add(task);
  }

  #flush(): void {
    const asks = this.#asks;
    this.#asks = [];
    if (asks.length === 0 || this.#vocabulary === null) return;
    if (this.#thread === null) {
      this.#thread = this.#listenTo(this.#start());
      this.#thread.postMessage({ type: 'vocabulary', vocabulary: this.#vocabulary });
    }
    this.#thread.postMessage({ type: 'asks', asks });
  }

  #listenTo(thread: GrammarThread): GrammarThread {
    thread.onmessage = ({ data: message }) => this.#hear(message);
    thread.onerror = ({ message }) => {
      const text = `the thread of grammars failed: ${message || 'without a word'}`;
      this.#restart(this.#watch.first?.seat ?? null, new Fault('engine', text));
    };
    return thread;
  }

  #hear(message: FromGrammar): void {
    if (message.type === 'ready') return this.#watch.ready();
    if (message.type === 'failed') {
      // The code crossed a thread as text; it was one of ours when it left.
      const fault = new Fault(message.code as FaultCode, message.message);
      this.#seats.get(message.guide)?.fail(fault);
    }
    this.#wake();
  }

  /** The next ask starts another thread; whoever waits asks again when woken. */
  #restart(culprit: Seat | null, fault: Fault | null): void {
    this.#endThread();
    this.#watch.clear();
    this.#asks = [];
    if (fault !== null) culprit?.fail(fault);
    for (const seat of this.#seats.values()) seat.reset();
    this.#wake();
  }

  #endThread(): void {
    if (this.#thread === null) return;
    this.#thread.onmessage = null;
    this.#thread.onerror = null;
    this.#thread.terminate();
    this.#thread = null;
  }
}

type SeatPorts = {
  readonly tokenCount: number;
  /** @param task null: it takes no time worth watching. */
  readonly ask: (ask: GrammarAsk, task: SeatTask | null) => void;
  readonly forget: () => void;
};

/** One guide: what the thread knows of its sequence, and what it has been asked. */
class Seat implements Guide {
  readonly #guide: number;
  readonly #spec: GrammarSpec;
  readonly #ports: SeatPorts;
  #lane: Lane | null = null;
  #askCount = 0;
  /** Ids that the thread has been told; −1: no mask was asked for yet. */
  #toldCount = -1;
  #fault: Fault | null = null;
  /** What was asked last went to a thread that is gone. */
  #isLost = false;

  constructor(guide: number, spec: GrammarSpec, ports: SeatPorts) {
    this.#guide = guide;
    this.#spec = spec;
    this.#ports = ports;
  }

  mask(ids: readonly number[], begin: number): TokenMask | null {
    if (this.#fault !== null) throw this.#fault;
    const lane = this.#lane ?? this.begin();
    const count = ids.length - begin;
    if (count !== this.#toldCount) {
      const added = ids.slice(begin + Math.max(0, this.#toldCount));
      this.#toldCount = count;
      const { ask, task } = this.#next(lane, limit.grammarMaskMs, 'working out what may follow');
      this.#ports.ask({ type: 'mask', guide: this.#guide, ask, ids: added }, task);
      // Who asks ahead looks again before it waits; who had asked before may be waiting already.
      if (this.#isLost) lane.want();
      this.#isLost = false;
      return null;
    }
    const mask = lane.read(this.#askCount);
    if (mask !== null) return mask;
    lane.want();
    return lane.read(this.#askCount);
  }

  close(): void {
    this.#ports.forget();
    if (this.#lane !== null) this.#ports.ask({ type: 'close', guide: this.#guide }, null);
  }

  begin(): Lane {
    const lane = Lane.forTokens(this.#ports.tokenCount);
    this.#lane = lane;
    const { ask, task } = this.#next(lane, limit.grammarCompileMs, 'compiling a grammar');
    const { buffer } = lane;
    const spec = this.#spec;
    this.#ports.ask({ type: 'open', guide: this.#guide, ask, spec, lane: buffer }, task);
    return lane;
  }

  /** Its thread is gone, and with it whatever that one would still write. */
  reset(): void {
    this.#lane = null;
    this.#askCount = 0;
    this.#toldCount = -1;
    this.#isLost = true;
  }

  fail(fault: Fault): void {
    this.#fault ??= fault;
  }

  #next(lane: Lane, limitMs: number, what: string): { ask: number; task: SeatTask } {
    const ask = ++this.#askCount;
    return { ask, task: { seat: this, what, limitMs, isDone: () => lane.isAnswered(ask) } };
  }
}
