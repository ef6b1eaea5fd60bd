// `truncation: "auto"`: of a conversation that is too long for the model the oldest messages are left
// out, as few as possible. What the system says at its beginning stays, and so does the last message; a
// tool's result never stays without the call that it answers.

import { Fault } from '../std/fault.ts';
import type { TemplateInput } from '../text/template.ts';

/**
 * @param idsOf may throw `context_length` where it sees that there are too many.
 * @param tokensMax that a prompt may have.
 */
export function fittingIds(
  input: TemplateInput,
  tokensMax: number,
  idsOf: (input: TemplateInput) => readonly number[],
): readonly number[] {
  const { messages } = input;
  const head = Math.max(
    0,
    messages.findIndex(({ role }) => role !== 'system'),
  );
  const begins = [...messages.keys()].filter((i) => i >= head && messages[i]?.role !== 'tool');
  const from = (begin: number): TemplateInput => ({
    ...input,
    messages: [...messages.slice(0, head), ...messages.slice(begin)],
  });
  const fits = (begin: number): boolean => {
    try {
      return idsOf(from(begin)).length <= tokensMax;
    } catch (thrown) {
      if (thrown instanceof Fault && thrown.code === 'context_length') return false;
      throw thrown;
    }
  };
  if (fits(head)) return idsOf(input);
  // The first beginning that fits: what is shorter than one that does, does too.
  let low = 0;
  let high = begins.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (fits(begins[middle] ?? head)) high = middle;
    else low = middle + 1;
  }
  return idsOf(from(begins[low] ?? head));
}
