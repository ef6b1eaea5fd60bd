// How far repetitions may be nested where a client writes them freely: `([a-z]{1,1000}){1,1000}` can be
// read in a million ways. (In a schema they are told apart by what stands between them.)

import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import type { Expression } from './expression.ts';

/** Refuses counts that are too large, alone or multiplied. */
export function checkRepeats(expression: Expression, outer = 1): void {
  switch (expression.kind) {
    case 'sequence':
      for (const part of expression.parts) checkRepeats(part, outer);
      return;
    case 'choice':
      for (const option of expression.options) checkRepeats(option, outer);
      return;
    case 'repeat': {
      const { min, max, body } = expression;
      const count = Math.max(1, max === Number.POSITIVE_INFINITY ? min : max);
      const most = outer === 1 ? limit.grammarRepeatMax : limit.grammarNestedRepeatMax;
      if (count * outer > most) {
        const found = outer === 1 ? `${count}` : `${count * outer} together with those around it`;
        throw new Fault('invalid_request', `a repetition counts to ${found}; at most ${most}`);
      }
      return checkRepeats(body, count * outer);
    }
    default:
      return;
  }
}
