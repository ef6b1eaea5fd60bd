// An engine that does what a test tells it. By default it admits everything and, given `answer`, goes
// through a request's life by itself: the answer's tokens one by one, the last with `stop`. An answer that
// was begun elsewhere goes on behind what is out.

import type {
  EngineCommand,
  EngineEvent,
  EnginePort,
  Load,
  StepTiming,
} from '../../src/protocol/engine.ts';
import type { ShmTicket } from '../../src/protocol/ticket.ts';
import { digest } from '../../src/std/hash.ts';
import { card, load } from './make.ts';

export const ticket: ShmTicket = {
  kind: 'shm',
  arena: 'tdist-test',
  owner: 'c',
  modelDigest: digest('model'),
  dtype: 'float32',
  geometry: card().geometry,
  tokens: 3,
  blocks: [],
  exportMs: 0,
};

export class FakeEngine implements EnginePort {
  readonly commands: EngineCommand[] = [];
  /** Called for each command instead of the default; return true to have the default as well. */
  script: (command: EngineCommand) => boolean = () => true;
  /** Null: admit, then wait for the test's `emit`. */
  answer: readonly number[] | null;
  /** What the next heartbeat says. */
  loaded: Partial<Load> = {};
  /** The timing that goes with a prompt's first token. */
  timed: (prompt: { tokens: number }) => StepTiming = () => ({});
  /** Tokens that are out, by request. */
  readonly #emitted = new Map<string, number>();
  #handler: (event: EngineEvent) => void = () => undefined;

  constructor(answer: readonly number[] | null = null) {
    this.answer = answer;
  }

  submit(command: EngineCommand): void {
    this.commands.push(command);
    queueMicrotask(() => {
      if (this.script(command)) this.#default(command);
    });
  }

  listen(handler: (event: EngineEvent) => void): void {
    this.#handler = handler;
  }

  load(): Load {
    return load(this.loaded);
  }

  emit(event: EngineEvent): void {
    this.#handler(event);
  }

  tokens(requestId: string, first: number, ids: readonly number[], isLast = false): void {
    this.emit({ type: 'tokens', requestId, first, ids, finish: isLast ? 'stop' : null });
  }

  /** The commands as `type`, in order: what a test compares. */
  get types(): readonly string[] {
    return this.commands.map(({ type }) => type);
  }

  lastId(): string {
    return this.commands.at(-1)?.requestId ?? 'none';
  }

  #default(command: EngineCommand): void {
    const { requestId, type } = command;
    if (type === 'generate' || type === 'prefill') {
      this.#emitted.set(requestId, command.emittedIds?.length ?? 0);
      this.emit({ type: 'admitted', requestId });
    }
    const from = this.#emitted.get(requestId) ?? 0;
    const answer = this.answer;
    if (answer === null) return;
    if (type === 'generate' && command.source === 'local') {
      const timing = this.timed({ tokens: command.promptIds.length });
      this.#timed(requestId, from, { queueMs: 2, prefillMs: 3, ...timing });
      this.#rest(requestId, answer, from + 1);
    } else if (type === 'prefill') {
      const timing = this.timed({ tokens: command.promptIds.length });
      this.#timed(requestId, from, { queueMs: 1, prefillMs: 5, cachedTokens: 2, ...timing });
      if (answer.length === from + 1) return;
      this.emit({ type: 'prefilled', requestId, firstToken: answer[from] ?? 0, ticket });
    } else if (type === 'import') {
      this.emit({ type: 'imported', requestId, path: 'shm', refusal: null });
      this.#timed(requestId, from + 1, { transferMs: 4, kvPath: 'shm', kvBytes: 4096 });
      this.#rest(requestId, answer, from + 2);
    }
  }

  #timed(
    requestId: string,
    index: number,
    timing: NonNullable<Extract<EngineEvent, { type: 'tokens' }>['timing']>,
  ): void {
    const ids = (this.answer ?? []).slice(index, index + 1);
    const finish = index + 1 === this.answer?.length ? ('stop' as const) : null;
    this.emit({ type: 'tokens', requestId, first: index, ids, finish, timing });
  }

  #rest(requestId: string, answer: readonly number[], from: number): void {
    for (let index = from; index < answer.length; index++) {
      this.tokens(requestId, index, answer.slice(index, index + 1), index + 1 === answer.length);
    }
  }
}
