// A client of POST /v1/chat/completions that hides nothing: status, headers, the raw text and each
// event of a stream. Only the shapes that tests read are typed; that they are OpenAI's is checked on the way.

import { type ChatDelta, saidIn } from '../../src/bench/chat-events.ts';
import { checkBody, StreamChecker } from './reply-validator.ts';

export type Message = Readonly<Record<string, unknown>>;
export type ChatBody = Readonly<Record<string, unknown>>;

/** The request of seed/disaggregated-serving-with-vllm.md section 4, to the letter. */
export const seedBody = `{
    "model": "llama",
    "messages": [
      {"role": "user", "content": "What is the capital of France?"}
    ],
    "temperature": 0,
    "top_p": 0.95,
    "max_tokens": 25,
    "stream": true,
    "n": 1,
    "frequency_penalty": 0.0,
    "stop": []
  }`;

export type Timing = {
  readonly request_id: string;
  readonly route: string;
  readonly context_worker: string | null;
  readonly generate_worker: string | null;
  readonly kv_path: string;
  readonly kv_bytes: number;
  readonly cached_tokens: number;
  readonly queue_ms: number;
  readonly prefill_ms: number;
  readonly transfer_ms: number;
  readonly ttft_ms: number;
  readonly total_ms: number;
};

export type Usage = {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly tdist?: Timing;
};

export type ApiError = {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
};

export type Chunk = {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
  readonly choices: readonly {
    readonly index: number;
    readonly delta: ChatDelta & { readonly role?: string };
    readonly logprobs: null;
    readonly finish_reason: string | null;
  }[];
  readonly usage?: Usage;
  readonly error?: ApiError;
};

export type Completion = {
  readonly object: string;
  readonly choices: readonly {
    readonly message: { readonly role: string; readonly content: string };
    readonly finish_reason: string;
  }[];
  readonly usage: Usage;
  readonly error?: ApiError;
};

export type Streamed = {
  readonly response: Response;
  /** The `data:` lines as they were sent, `[DONE]` included. */
  readonly data: readonly string[];
  readonly chunks: readonly Chunk[];
  /** What each chunk says that says something: text, or parts of calls. */
  readonly pieces: readonly string[];
  readonly text: string;
  readonly finish: string | null;
  readonly usage: Usage | null;
  readonly error: ApiError | null;
};

export function user(content: string): Message {
  return { role: 'user', content };
}

/** Greedy, one user message, unless `more` says otherwise. */
export function question(content: string, more: ChatBody = {}): ChatBody {
  return { model: 'llama', messages: [user(content)], temperature: 0, ...more };
}

const chatPath = '/v1/chat/completions';

export type PostOptions = {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Path of a socket that leads to the gateway. */
  readonly unix?: string;
};

export async function post(
  url: string,
  body: ChatBody | string,
  options: PostOptions = {},
): Promise<Response> {
  return await fetch(`${url}${chatPath}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...options.headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    signal: options.signal ?? null,
    ...(options.unix === undefined ? {} : { unix: options.unix }),
  });
}

/** Not streamed; what came, whatever the status. */
export async function ask(
  url: string,
  body: ChatBody | string,
  options: PostOptions = {},
): Promise<{ readonly response: Response; readonly body: Completion }> {
  const response = await post(url, body, options);
  return { response, body: await jsonOf<Completion>(response) };
}

/** Streamed, read to its end. `onChunk` sees each one as it arrives. */
export async function stream(
  url: string,
  body: ChatBody | string,
  options: PostOptions & { readonly onChunk?: (chunk: Chunk) => void } = {},
): Promise<Streamed> {
  const text = typeof body === 'string' ? body : { ...body, stream: true };
  return await readStream(await post(url, text, options), options.onChunk);
}

/** What `stream` does once the response is there. */
export async function readStream(
  response: Response,
  onChunk: (chunk: Chunk) => void = () => undefined,
): Promise<Streamed> {
  if (!response.ok || response.body === null) {
    throw new Error(`status ${response.status}: ${await response.text()}`);
  }
  const data: string[] = [];
  const chunks: Chunk[] = [];
  const checker = new StreamChecker(chatPath);
  for await (const event of eventsOf(response.body)) {
    data.push(event);
    checker.event(event);
    if (event === '[DONE]') continue;
    const chunk = parsed<Chunk>(event);
    chunks.push(chunk);
    onChunk(chunk);
  }
  checker.end();
  const pieces = chunks.flatMap((chunk) => saidIn(chunk.choices?.[0]?.delta) || []);
  return {
    response,
    data,
    chunks,
    pieces,
    text: pieces.join(''),
    finish:
      chunks.map((chunk) => chunk.choices?.[0]?.finish_reason ?? null).findLast(Boolean) ?? null,
    usage: chunks.findLast((chunk) => chunk.usage !== undefined)?.usage ?? null,
    error: chunks.find((chunk) => chunk.error !== undefined)?.error ?? null,
  };
}

export async function jsonOf<T>(response: Response): Promise<T> {
  const text = await response.text();
  if (response.url !== '') {
    checkBody(new URL(response.url).pathname, response.status, JSON.parse(text));
  }
  return parsed<T>(text);
}

/** The program's own output: that it has this shape is what the tests go on to check. */
function parsed<T>(text: string): T {
  return JSON.parse(text) as T;
}

async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncIterable<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of body) {
    const events = (rest + decoder.decode(bytes, { stream: true })).split('\n\n');
    rest = events.pop() ?? '';
    for (const event of events) {
      if (!event.startsWith('data: ')) throw new Error(`not a data event: ${event}`);
      yield event.slice('data: '.length);
    }
  }
  if (rest !== '') throw new Error(`the stream ended within an event: ${rest}`);
}
