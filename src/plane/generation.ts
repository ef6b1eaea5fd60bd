// An answer that has begun, as the gateway reads it. Leaving the loop early cancels the work.

import type { Generation, TokenDelta } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import type { Answer } from './answer.ts';

export function generationOf(answer: Answer): Generation {
  const iterator: AsyncIterator<TokenDelta> = {
    next: async () => {
      const delta = await answer.inbox.next();
      return delta === null ? { done: true, value: undefined } : { done: false, value: delta };
    },
    return: async () => {
      answer.cancel(new Fault('cancelled', 'the reader left before the end'));
      return { done: true, value: undefined };
    },
  };
  return {
    deltas: { [Symbol.asyncIterator]: () => iterator },
    timing: () => answer.timing(),
  };
}
