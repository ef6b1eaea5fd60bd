// Holds every answer that an end-to-end test reads to OpenAI's published shapes: each body, each event,
// and what the events of a stream promise together. Whoever reads HTTP there passes it by here.

import * as v from 'valibot';
import {
  deletedResponse,
  inputItemList,
  response,
  responseEvent,
} from './reply-response-schema.ts';
import {
  chatChunk,
  chatCompletion,
  completion,
  completionChunk,
  errorEnvelope,
  modelList,
  oneModel,
} from './reply-schema.ts';

type Schema = v.GenericSchema<unknown>;
type Kind = { readonly whole: Schema; readonly event?: Schema };

const kinds: readonly (readonly [RegExp, Kind])[] = [
  [/^\/v1\/chat\/completions$/, { whole: chatCompletion, event: chatChunk }],
  [/^\/v1\/completions$/, { whole: completion, event: completionChunk }],
  [/^\/v1\/responses$/, { whole: response, event: responseEvent }],
  [/^\/v1\/responses\/[^/]+\/input_items$/, { whole: inputItemList }],
  [/^\/v1\/responses\/.+$/, { whole: v.union([response, deletedResponse]) }],
  [/^\/v1\/models$/, { whole: modelList }],
  [/^\/v1\/models\/.+$/, { whole: oneModel }],
];

function kindOf(path: string): Kind | undefined {
  return kinds.find(([pattern]) => pattern.test(path))?.[1];
}

/** A JSON body of the route at `path`. Routes of ours alone have only their errors checked. */
export function checkBody(path: string, status: number, body: unknown): void {
  const schema = status >= 400 ? errorEnvelope : kindOf(path)?.whole;
  if (schema !== undefined) check(schema, body, `${path} ${status}`);
}

/** The events of one stream, as they come; `end` when it is complete. */
export class StreamChecker {
  readonly #path: string;
  readonly #all: unknown[] = [];
  #isDone = false;

  constructor(path: string) {
    this.#path = path;
  }

  /** @param data what stands behind `data: `. */
  event(data: string): void {
    if (this.#isDone) throw new Error(`${this.#path}: an event after [DONE]: ${data}`);
    this.#isDone = data === '[DONE]';
    if (this.#isDone) return;
    const value: unknown = JSON.parse(data);
    this.#all.push(value);
    const isError = typeof value === 'object' && value !== null && 'error' in value;
    const schema = isError ? errorEnvelope : kindOf(this.#path)?.event;
    if (schema === undefined) throw new Error(`${this.#path} has no stream`);
    check(schema, value, `${this.#path} event ${this.#all.length - 1}`);
  }

  end(): void {
    const isResponse = this.#path === '/v1/responses';
    if (this.#isDone === isResponse) throw new Error(`${this.#path}: [DONE] ${this.#isDone}`);
    const fault = isResponse ? responseFault(this.#all) : chunksFault(this.#all);
    if (fault !== null) throw new Error(`${this.#path}: ${fault} in ${JSON.stringify(this.#all)}`);
  }
}

const numbered = v.object({ type: v.string(), sequence_number: v.number() });
const lastTypes = ['response.completed', 'response.incomplete', 'response.failed', 'error'];

function responseFault(all: readonly unknown[]): string | null {
  const events = v.parse(v.array(numbered), all);
  if (events.some((event, index) => event.sequence_number !== index)) return 'a number is missing';
  const [first, second] = events.map(({ type }) => type);
  if (first !== 'response.created' || second !== 'response.in_progress') return 'no beginning';
  const lasts = events.filter(({ type }) => lastTypes.includes(type));
  return lasts.length === 1 && lasts[0] === events.at(-1) ? null : 'not one end';
}

const chunk = v.object({
  id: v.string(),
  choices: v.array(
    v.object({
      index: v.number(),
      delta: v.optional(v.object({ role: v.optional(v.string()) })),
      finish_reason: v.nullable(v.string()),
    }),
  ),
  usage: v.optional(v.unknown()),
});

/** One id; of each choice one role, first, and one finish, last; no chunk without choice but the usage. */
function chunksFault(all: readonly unknown[]): string | null {
  const parsed = all.map((value) => v.safeParse(chunk, value));
  const chunks = parsed.flatMap(({ success, output }) => (success ? [output] : []));
  // The last one then is an error.
  const isBroken = chunks.length < all.length;
  if (new Set(chunks.map(({ id }) => id)).size > 1) return 'two ids';
  if (chunks.some(({ choices, usage }, i) => choices.length === 0 && !isUsage(i, usage))) {
    return 'a chunk without choice';
  }
  const choices = chunks.flatMap((each) => each.choices);
  const byIndex = Map.groupBy(choices, ({ index }) => index);
  for (const [index, own] of byIndex) {
    const roles = own.map(({ delta }) => delta?.role !== undefined);
    const isChat = own.some(({ delta }) => delta !== undefined);
    if (isChat && (roles[0] !== true || roles.slice(1).includes(true))) return `roles of ${index}`;
    const ends = own.map(({ finish_reason: finish }) => finish !== null);
    if (ends.slice(0, -1).includes(true)) return `text of ${index} after its end`;
    if (ends.at(-1) !== true && !isBroken) return `no end of ${index}`;
  }
  return null;

  function isUsage(index: number, usage: unknown): boolean {
    return index === all.length - 1 && typeof usage === 'object' && usage !== null;
  }
}

/** `fetch` for client libraries: the same answer, checked on its way. Calls nobody but this machine. */
export async function checkedFetch(
  input: string | URL | Request,
  init?: RequestInit,
): Promise<Response> {
  const { hostname, pathname: path } = new URL(input instanceof Request ? input.url : input);
  if (!['127.0.0.1', 'localhost'].includes(hostname)) throw new Error(`a call to ${hostname}`);
  const reply = await fetch(input, init);
  const type = reply.headers.get('content-type') ?? '';
  const { status, headers } = reply;
  if (type.startsWith('text/event-stream') && reply.body !== null) {
    return new Response(reply.body.pipeThrough(eventCheck(path)), { status, headers });
  }
  const text = await reply.text();
  if (type.startsWith('application/json')) checkBody(path, status, JSON.parse(text));
  return new Response(text, { status, headers });
}

function eventCheck(path: string): TransformStream<Uint8Array, Uint8Array> {
  const checker = new StreamChecker(path);
  const decoder = new TextDecoder();
  let rest = '';
  return new TransformStream({
    transform(bytes, controller) {
      const blocks = (rest + decoder.decode(bytes, { stream: true })).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const [, data] = /^(?:event: [a-z_.]+\n)?data: (.*)$/.exec(block) ?? [];
        if (data === undefined) throw new Error(`${path}: no event: ${block}`);
        checker.event(data);
      }
      controller.enqueue(bytes);
    },
    flush() {
      if (rest !== '') throw new Error(`${path}: ends within an event: ${rest}`);
      checker.end();
    },
  });
}

function check(schema: Schema, value: unknown, what: string): void {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return;
  const [issue] = parsed.issues;
  const at = `${v.getDotPath(issue) ?? 'as a whole'}: ${issue.message}`;
  throw new Error(`${what} is not of OpenAI's shape; ${at}; found ${JSON.stringify(value)}`);
}
