// The main thread's end of the threads that make a graph's weights. They live as long as the work.

import type { Crew } from '../model/weight-writer.ts';
import { Fault } from '../std/fault.ts';
import type { FromWeights, ToWeights } from './weight-thread.ts';

/** In the executable all entry points lie under one root; from sources the thread is a neighbour. */
const threadUrl = import.meta.url.includes('/$bunfs/')
  ? new URL('./role/weight-thread.ts', import.meta.url).href
  : new URL('./weight-thread.ts', import.meta.url).href;

type Hand = { readonly thread: Worker; busy: PromiseWithResolvers<void> | null };

/** @param path of the file that is written; it is there already. */
export function openWeightCrew(size: number, path: string): Crew & { close(): void } {
  const hands = Array.from({ length: size }, () => openHand(path));
  return {
    size,
    run(job) {
      const hand = hands.find((one) => one.busy === null);
      if (hand === undefined) throw new Error(`more than ${size} jobs at once`);
      hand.busy = Promise.withResolvers<void>();
      const order: ToWeights = { type: 'job', job };
      hand.thread.postMessage(order);
      return hand.busy.promise;
    },
    close() {
      for (const { thread } of hands) thread.terminate();
    },
  };
}

function openHand(path: string): Hand {
  const thread = new Worker(threadUrl);
  const hand: Hand = { thread, busy: null };
  const end = (fault: Fault | null): void => {
    const { busy } = hand;
    hand.busy = null;
    if (fault === null) busy?.resolve();
    else busy?.reject(fault);
  };
  thread.onmessage = ({ data: { fault } }: MessageEvent<FromWeights>) =>
    end(fault === null ? null : new Fault(fault.code, fault.message));
  thread.onerror = (event) => end(new Fault('internal', event.message || 'a thread failed'));
  const open: ToWeights = { type: 'open', path };
  thread.postMessage(open);
  return hand;
}
