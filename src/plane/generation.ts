// An attempt that has started, as the gateway reads it. Leaving the loop early cancels the work.

import type { Generation, TokenDelta } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import type { Attempt } from './attempt.ts';

export function generationOf(attempt: Attempt): Generation {
  const iterator: AsyncIterator<TokenDelta> = {
    next: async () => {
      const delta = await attempt.inbox.next();
      return delta === null ? { done: true, value: undefined } : { done: false, value: delta };
    },
    return: async () => {
      attempt.cancel(new Fault('cancelled', 'the reader left before the end'));
      return { done: true, value: undefined };
    },
  };
  return {
    deltas: { [Symbol.asyncIterator]: () => iterator },
    timing: () => attempt.timing(),
  };
}
