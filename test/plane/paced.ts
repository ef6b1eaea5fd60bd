// Makes a fake engine take time by the test's clock: prompts one after another, so many ms a token;
// a stream for `decodeMs`; and tells its load truthfully. Tokens 7 and 8 are every answer.

import type { EngineCommand } from '../../src/protocol/engine.ts';
import type { ManualClock } from '../../src/std/clock.ts';
import type { TestWorker } from './cluster.ts';
import { ticket } from './fake-engine.ts';

export type Pace = {
  readonly clock: ManualClock;
  readonly tokenMs: number;
  readonly decodeMs: number;
  /** Leading tokens of every prompt that it need not compute. */
  readonly cachedTokens?: number;
};

export function pace({ engine }: TestWorker, { clock, tokenMs, decodeMs, cachedTokens = 0 }: Pace) {
  let busyUntilMs = 0;
  let [pendingTokens, running, decoding] = [0, 0, 0];
  const tell = () => {
    engine.loaded = { ...engine.loaded, pendingTokens, running, decoding, slots: 64 };
  };
  const compute = (tokens: number, done: () => void) => {
    pendingTokens += tokens;
    busyUntilMs = Math.max(busyUntilMs, clock.nowMs()) + tokens * tokenMs;
    clock.after(busyUntilMs - clock.nowMs(), () => {
      pendingTokens -= tokens;
      done();
      tell();
    });
  };
  const stream = (requestId: string) => {
    decoding++;
    clock.after(decodeMs, () => {
      decoding--;
      running--;
      tell();
      engine.tokens(requestId, 1, [8], true);
    });
  };
  const first = (requestId: string, computed: number) => {
    const timing = { queueMs: 0, prefillMs: computed * tokenMs, cachedTokens };
    engine.emit({ type: 'tokens', requestId, first: 0, ids: [7], finish: null, timing });
  };
  engine.answer = null;
  engine.script = (command: EngineCommand) => {
    const { requestId } = command;
    if (command.type === 'prefill' || command.type === 'generate') {
      running++;
      const computed = command.promptIds.length - cachedTokens;
      if (command.type === 'prefill') {
        compute(computed, () => {
          running--;
          first(requestId, computed);
          engine.emit({ type: 'prefilled', requestId, firstToken: 7, ticket });
        });
      } else if (command.source === 'local') {
        compute(computed, () => {
          first(requestId, computed);
          stream(requestId);
        });
      }
    } else if (command.type === 'import') {
      engine.emit({ type: 'imported', requestId, path: 'shm', refusal: null });
      stream(requestId);
    }
    tell();
    return true; // admits; without an `answer` the fake does no more
  };
}
