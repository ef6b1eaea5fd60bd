// One streamed chat request, timed from outside, with what the gateway says of it.

import { Fault } from '../std/fault.ts';
import { chatEvents, saidIn } from './chat-events.ts';
import { keyHeaders } from './key-headers.ts';

/** The request of the document this project started from, section 4. */
export const seedRequest = {
  model: 'llama',
  messages: [{ role: 'user', content: 'What is the capital of France?' }],
  temperature: 0,
  top_p: 0.95,
  max_tokens: 25,
  stream: true,
  n: 1,
  frequency_penalty: 0.0,
  stop: [],
};

/** The gateway's timing object; times in milliseconds. */
export type Timing = {
  readonly route: string;
  readonly route_reason: string;
  readonly context_worker: string | null;
  readonly generate_worker: string | null;
  readonly kv_path: string;
  readonly kv_bytes: number;
  readonly queue_ms: number;
  readonly prefill_ms: number;
  readonly transfer_ms: number;
  readonly ttft_ms: number;
  readonly total_ms: number;
};

export type Answer = {
  readonly text: string;
  readonly timing: Timing;
  /** Client's clock, from sending to the first chunk with text. */
  readonly ttftMs: number;
  /** Between chunks with text. */
  readonly gapsMs: readonly number[];
};

/** @param onText gets each piece of text as it arrives. */
export async function ask(
  url: string,
  request: Record<string, unknown>,
  onText: (text: string) => void = () => undefined,
): Promise<Answer> {
  const beganMs = performance.now();
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-tdist-timing': '1',
      ...keyHeaders(process.env),
    },
    body: JSON.stringify(request),
  });
  if (!response.ok || response.body === null) {
    throw new Fault('internal', `the request failed: ${response.status} ${await response.text()}`);
  }
  const arrivals: number[] = [];
  let text = '';
  let timing: Timing | null = null;
  for await (const chunk of chatEvents(response.body)) {
    if (chunk.error !== undefined) throw new Fault('internal', chunk.error.message);
    const piece = saidIn(chunk.choices?.[0]?.delta);
    if (piece !== '') {
      arrivals.push(performance.now());
      text += piece;
      onText(piece);
    }
    timing = chunk.usage?.tdist ?? timing;
  }
  if (timing === null) throw new Fault('internal', 'the answer came without its timing');
  const ttftMs = (arrivals[0] ?? Number.NaN) - beganMs;
  const gapsMs = arrivals.slice(1).map((at, i) => at - (arrivals[i] ?? 0));
  return { text, timing, ttftMs, gapsMs };
}
