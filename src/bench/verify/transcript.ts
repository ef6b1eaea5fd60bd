// What a client saw of one answer: every piece of text with the number of tokens generated up to it,
// why it ended, what it cost. Two routes agree when their transcripts do.

import { Fault } from '../../std/fault.ts';
import type { Timing } from '../ask.ts';
import { chatEvents, saidIn } from '../chat-events.ts';
import { keyHeaders } from '../key-headers.ts';

export type Piece = {
  readonly text: string;
  /** Tokens generated when it was sent, those whose text was still held back counted. */
  readonly tokens: number;
};

export type Transcript = {
  readonly pieces: readonly Piece[];
  readonly finish: string | null;
  readonly promptTokens: number;
  readonly tokens: number;
  readonly timing: Timing;
};

/** The gateway's refusal of one request, with its HTTP status. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly code: string | null;

  constructor(status: number, code: string | null, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export type Body = Readonly<Record<string, unknown>>;

/** Streams the request through `route`. Throws a Refusal, or a Fault where the stream breaks off. */
export async function transcribe(url: string, body: Body, route: string): Promise<Transcript> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-tdist-timing': '1',
      'x-tdist-force-route': route,
      ...keyHeaders(process.env),
    },
    body: JSON.stringify({
      ...body,
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
    }),
  });
  if (!response.ok || response.body === null)
    throw refusalOf(response.status, await response.text());
  const pieces: Piece[] = [];
  let finish: string | null = null;
  let usage: { promptTokens: number; tokens: number; timing: Timing } | null = null;
  for await (const event of chatEvents(response.body)) {
    if (event.error !== undefined) throw new Fault('internal', event.error.message);
    const [choice] = event.choices ?? [];
    const tokens = event.usage?.completion_tokens ?? Number.NaN;
    const text = saidIn(choice?.delta);
    if (text !== '') pieces.push({ text, tokens });
    finish = choice?.finish_reason ?? finish;
    const timing = event.usage?.tdist;
    if (timing !== undefined) {
      usage = { promptTokens: event.usage?.prompt_tokens ?? Number.NaN, tokens, timing };
    }
  }
  if (usage === null) throw new Fault('internal', 'the answer came without its usage');
  return { pieces, finish, ...usage };
}

function refusalOf(status: number, text: string): Refusal {
  try {
    const { error } = JSON.parse(text);
    return new Refusal(status, error.code, error.message);
  } catch {
    return new Refusal(status, null, text.slice(0, 200));
  }
}
