// A thread of grammars without thread, that works when and as much as a test says: the production desk
// behind the messages of the real one.

import { GrammarDesk } from '../../src/grammar/desk.ts';
import { GrammarStore } from '../../src/grammar/store.ts';
import { ThreadGrammars } from '../../src/role/grammar.ts';
import type { GrammarThread } from '../../src/role/grammar-port.ts';
import type { FromGrammar, ToGrammar } from '../../src/role/grammar-thread.ts';
import { ManualClock } from '../../src/std/clock.ts';

type Work = () => void;

export class FakeGrammarThread implements GrammarThread {
  onmessage: GrammarThread['onmessage'] = null;
  onerror: GrammarThread['onerror'] = null;
  isEnded = false;
  readonly desk: GrammarDesk;
  readonly #store = new GrammarStore();
  readonly #work: Work[] = [];
  /** Messages on their way to the engine. */
  readonly #said: FromGrammar[] = [{ type: 'ready' }];

  constructor() {
    this.desk = new GrammarDesk(this.#store, (answer) => this.#said.push(answer));
  }

  postMessage(message: ToGrammar): void {
    if (message.type === 'vocabulary') this.#work.push(() => this.#store.learn(message.vocabulary));
    else if (message.type === 'asks') {
      for (const ask of message.asks) this.#work.push(() => this.desk.take(ask));
    }
  }

  terminate(): void {
    this.isEnded = true;
  }

  /** At most so many asks; returns whether there was one. */
  work(count: number): boolean {
    const works = this.#work.splice(0, count);
    for (const work of works) work();
    return works.length > 0;
  }

  /** What it has said arrives. */
  deliver(): void {
    for (const data of this.#said.splice(0)) this.onmessage?.({ data });
  }
}

/** Grammars of one engine behind such threads, of which only the last one is alive. */
export class FakeGrammars {
  readonly clock = new ManualClock();
  readonly threads: FakeGrammarThread[] = [];
  readonly grammars: ThreadGrammars;
  wakeCount = 0;

  constructor() {
    this.grammars = new ThreadGrammars({
      clock: this.clock,
      start: () => {
        const thread = new FakeGrammarThread();
        this.threads.push(thread);
        return thread;
      },
      wake: () => this.wakeCount++,
    });
  }

  get thread(): FakeGrammarThread | undefined {
    return this.threads.at(-1);
  }
}
