// Waiting for what has no event of its own (another process's end, an HTTP answer that changes): asks
// again and again, at most until a deadline, and then says what it had waited for.

import { realClock } from '../../src/std/clock.ts';

/** Generous: the machine may have two cores and other things to do. */
export const deadlineMs = 60_000;
const askEveryMs = 20;

/** The first answer of `ask` that is neither null nor false. */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  limitMs = deadlineMs,
): Promise<Exclude<T, null | false>> {
  const endMs = realClock.nowMs() + limitMs;
  for (;;) {
    const answer = await ask();
    // What is left of T after the comparison, which the compiler cannot follow for a type parameter.
    if (answer !== null && answer !== false) return answer as Exclude<T, null | false>;
    if (realClock.nowMs() > endMs) throw new Error(`waited ${limitMs} ms in vain for ${what}`);
    await new Promise<void>((resolve) => realClock.after(askEveryMs, resolve));
  }
}
