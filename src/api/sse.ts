// Server-sent events, one to a socket write: load generators take a write for an event and do not
// cut it. The next event is made only when the socket can take it, so a slow reader fills no memory here;
// what has come meanwhile then leaves in one write, so that it catches up.
// A stream that fails says so and then ends with `[DONE]`:
// one that just stopped would pass for a complete answer.

import { limit } from '../protocol/limit.ts';
import type { Clock, Timer } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import { errorEnvelope } from './fault.ts';

/** How a route writes its events. */
export type Framing = {
  text(event: object): string;
  /** The event that says that the answer is broken off. */
  failure(fault: Fault, requestId: string): object;
  /** Behind the last event; may be empty where that one says that it is the last. */
  readonly done: string;
};

const chatFraming: Framing = {
  text: dataText,
  failure: errorEnvelope,
  done: 'data: [DONE]\n\n',
};

export function eventStream(options: {
  /** Objects to send, one event each. */
  readonly events: AsyncIterator<object>;
  readonly requestId: string;
  readonly clock: Clock;
  readonly framing?: Framing | undefined;
  /** Called once when nothing more will be sent; null: all went well. */
  readonly onEnd: (fault: Fault | null) => void;
  /** The client has gone. */
  readonly onCancel: () => void;
}): ReadableStream<Uint8Array> {
  const { events, requestId, clock, onEnd, onCancel, framing = chatFraming } = options;
  const doneText = framing.done;
  let failure: Fault | null = null;
  let cancelled = false;
  let reading: Timer | null = null;
  /** When the reader last took something; null: it does not wait for anything. */
  let takenMs: number | null = null;
  /** The next event, already asked for. */
  let coming: Promise<string> | null = null;
  let writtenMs = clock.nowMs();

  const makeText = async (): Promise<string> => {
    if (failure !== null) return doneText;
    try {
      const next = await events.next();
      return next.done === true ? doneText : framing.text(next.value);
    } catch (thrown) {
      failure = toFault(thrown);
      return framing.text(framing.failure(failure, requestId));
    }
  };

  const nextText = (): Promise<string> => {
    const text = coming ?? makeText();
    coming = null;
    return text;
  };

  /** Events that are ready, but for the last: that one always has a write of its own. */
  const readyText = async (): Promise<string> => {
    let text = '';
    for (let count = 1; count < limit.joinedEventCountMax; count++) {
      coming ??= makeText();
      const ready = await Promise.race([coming, nextTurn()]);
      if (ready === undefined || ready === doneText) break;
      coming = null;
      text += ready;
    }
    return text;
  };

  /** A reader that hangs up is told of; one that just stops reading is not, and would stay for ever. */
  const expectReader = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    takenMs = clock.nowMs();
    // Events come by the thousand: one timer, which looks when the last one was taken.
    reading ??= clock.after(limit.readerSilenceMs, () => look(controller));
  };
  const look = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    reading = null;
    if (takenMs === null) return;
    const leftMs = takenMs + limit.readerSilenceMs - clock.nowMs();
    if (leftMs > 0) {
      reading = clock.after(leftMs, () => look(controller));
      return;
    }
    cancelled = true;
    const fault = new Fault('cancelled', 'The client has stopped reading.');
    onEnd(fault);
    controller.error(fault);
  };

  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
    takenMs = null;
    const isLate = clock.nowMs() - writtenMs >= limit.readerLateMs;
    const text = await nextText();
    const more = isLate && text !== doneText ? await readyText() : '';
    // Bun joins what is enqueued in one turn of the event loop: give the last event its own.
    await nextTurn();
    if (cancelled) return;
    if (text + more !== '') controller.enqueue(encoder.encode(text + more));
    writtenMs = clock.nowMs();
    if (text !== doneText) return expectReader(controller);
    // At once: many clients hang up at `[DONE]`, and that is no cancellation.
    reading?.cancel();
    controller.close();
    onEnd(failure);
  };

  const cancel = (): void => {
    cancelled = true;
    reading?.cancel();
    onCancel();
  };
  // No queue of our own: an event is made when it is asked for.
  return new ReadableStream<Uint8Array>({ pull, cancel }, { highWaterMark: 0 });
}

const encoder = new TextEncoder();

function nextTurn(): Promise<void> {
  return new Promise<void>((resolve) => setImmediate(resolve));
}

export function dataText(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}
