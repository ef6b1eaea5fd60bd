// One generation on the cluster as its reader sees it: begun (its first tokens are here), or still to
// begin. It is cancelled by its request's signal, and by leaving its flow once it has begun.

import type {
  GenerateOptions,
  GenerateRequest,
  Timing,
  TokenDelta,
  TokenLogprobs,
} from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import type { Gateway } from './gateway.ts';

/** A generation whose first tokens are here. */
export type Running = {
  /** Of the prompt's tokens from the second on, where they were asked for. */
  readonly scores: readonly TokenLogprobs[];
  readonly first: TokenDelta;
  readonly rest: AsyncIterator<TokenDelta>;
  readonly timing: () => Timing;
};

/** Its deltas from the first on. */
export type Flow = AsyncIterator<TokenDelta> & {
  /** Null until it has begun. */
  timing(): Timing | null;
  /** Of the prompt's tokens; complete before the first delta is here. */
  scores(): readonly TokenLogprobs[];
};

export async function run(
  gateway: Gateway,
  request: GenerateRequest,
  options: GenerateOptions,
): Promise<Running> {
  const generation = await gateway.cluster.generate(request, options);
  const rest = generation.deltas[Symbol.asyncIterator]();
  const scores: TokenLogprobs[] = [];
  for (;;) {
    const first = await rest.next();
    if (first.done === true) throw endlessFault();
    scores.push(...(first.value.scores ?? []));
    if (first.value.scores !== undefined && first.value.finish === null) continue;
    return { scores, first: first.value, rest, timing: () => generation.timing() };
  }
}

export function flowOf(starting: Promise<Running>): Flow {
  let running: Running | null = null;
  // Whoever reads the flow hears of a failure; where nobody does it must not end the process.
  starting.catch(() => undefined);
  return {
    async next() {
      if (running !== null) return running.rest.next();
      running = await starting;
      return { done: false, value: running.first };
    },
    async return() {
      await running?.rest.return?.();
      return { done: true, value: undefined };
    },
    timing: () => running?.timing() ?? null,
    scores: () => running?.scores ?? [],
  };
}

/** A stream of tokens that ended without saying why: somebody broke the plane's promise. */
export function endlessFault(): Fault {
  return new Fault('plane', 'the token stream ended without a finish reason');
}
