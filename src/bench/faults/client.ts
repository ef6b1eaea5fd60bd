// A client that hides nothing: one streamed request to its end, whatever that is, and when each token of
// it came. It does not ask again, as a real one would.

import { type ChatDelta, saidIn } from '../chat-events.ts';
import type { ChatBody } from './bodies.ts';

/** A request that has not ended by then hangs. */
export const hangMs = 100_000;

export type Said = {
  readonly text: string;
  readonly finish: string | null;
  /** Arrivals of its pieces, by `performance.now`. */
  readonly atMs: readonly number[];
};

/** `error`: the gateway said so, by name. `connection`: nobody said anything. `broken`: neither. */
export type End =
  | { readonly kind: 'whole' }
  | { readonly kind: 'error'; readonly code: string; readonly message: string }
  | { readonly kind: 'connection'; readonly why: string }
  | { readonly kind: 'broken'; readonly why: string };

/** How it came about, of its first choice; null where nobody said so. */
export type Route = { readonly kv_path: string; readonly migrations?: number };

export type Reply = {
  readonly end: End;
  readonly choices: readonly Said[];
  readonly route: Route | null;
};

export type StreamOptions = {
  readonly url: string;
  readonly body: ChatBody;
  /** Called at each piece. */
  readonly onPiece?: () => void;
  readonly signal?: AbortSignal;
};

type StreamEvent = {
  readonly choices?: readonly {
    readonly index: number;
    readonly delta: ChatDelta;
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly tdist?: Route } | null;
  readonly error?: { readonly message: string; readonly code: string | null };
};

type OpenSaid = { text: string; finish: string | null; atMs: number[] };
type Open = { readonly choices: OpenSaid[]; route: Route | null };

export async function askStream(options: StreamOptions): Promise<Reply> {
  const open: Open = { choices: [], route: null };
  const end = await converse(options, open).catch(connectionEnd);
  return { end, ...open };
}

async function converse(options: StreamOptions, open: Open): Promise<End> {
  const hang = AbortSignal.timeout(hangMs);
  const response = await fetch(`${options.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-tdist-timing': '1' },
    body: JSON.stringify({ ...options.body, stream: true }),
    keepalive: false, // a connection of its own: nothing of an earlier one's fate
    signal: options.signal === undefined ? hang : AbortSignal.any([hang, options.signal]),
  });
  if (!response.ok || response.body === null) return refusal(response);
  let failure: End | null = null;
  let isDone = false;
  for await (const data of dataOf(response.body)) {
    if (data === '[DONE]') {
      isDone = true;
      continue;
    }
    const event: StreamEvent = JSON.parse(data);
    if (event.error !== undefined) failure = named(event.error);
    open.route = event.usage?.tdist ?? open.route;
    if (note(event, open.choices)) options.onPiece?.();
  }
  if (!isDone) return { kind: 'broken', why: 'the stream ended without [DONE]' };
  return failure ?? { kind: 'whole' };
}

/** True when the event says something. */
function note({ choices: parts = [] }: StreamEvent, choices: OpenSaid[]): boolean {
  let hasSaid = false;
  for (const { index, delta, finish_reason } of parts) {
    choices[index] ??= { text: '', finish: null, atMs: [] };
    const choice = choices[index];
    const piece = saidIn(delta);
    if (piece !== '') {
      choice.text += piece;
      choice.atMs.push(performance.now());
      hasSaid = true;
    }
    choice.finish = finish_reason ?? choice.finish;
  }
  return hasSaid;
}

async function refusal(response: Response): Promise<End> {
  const text = await response.text();
  try {
    return named((JSON.parse(text) as Required<StreamEvent>).error);
  } catch {
    return { kind: 'broken', why: `status ${response.status}: ${text.slice(0, 200)}` };
  }
}

function named({ code, message }: NonNullable<StreamEvent['error']>): End {
  if (code === null) return { kind: 'broken', why: `an error without a code: ${message}` };
  return { kind: 'error', code, message };
}

function connectionEnd(thrown: unknown): End {
  const { name = 'Error', code = name, message } = thrown as Error & { readonly code?: string };
  if (name === 'TimeoutError') return { kind: 'broken', why: `no end within ${hangMs} ms` };
  return { kind: 'connection', why: message.startsWith(code) ? message : `${code}: ${message}` };
}

async function* dataOf(body: ReadableStream<Uint8Array>): AsyncIterable<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of body) {
    const events = (rest + decoder.decode(bytes, { stream: true })).split('\n\n');
    rest = events.pop() ?? '';
    for (const event of events) yield event.replace(/^data: /, '');
  }
}
