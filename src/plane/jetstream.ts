// What we use of JetStream's API over one connection: requests answered through one inbox, with the
// server's refusals told apart. A lost connection, a missing JetStream and missing rights end what waits
// at once, as `unreachable`.

import * as v from 'valibot';
import type { Fault } from '../std/fault.ts';
import { type CallScope, flaw } from './call-scope.ts';
import type { RawLink, RawMessage } from './raw-plane.ts';

/** The server's `err_code`s that mean something to us (nats-server's errors.json). */
export const apiCode = {
  noJetStream: 10076,
  noJetStreamForAccount: 10039,
  streamNotFound: 10059,
  streamNameTaken: 10058,
  subjectsOverlap: 10065,
  messageNotFound: 10037,
  wrongLastSequence: 10071,
} as const;

/** The bucket's limit is `stream store failed: maximum bytes exceeded`; the others are the server's. */
const fullCodes = [10002, 10023, 10028, 10047, 10122] as const;
const storeFailed = 10077;

export type ApiError = { readonly code: number; readonly errCode: number; readonly text: string };
export type ApiReply =
  | { readonly error: ApiError; readonly value?: never }
  | { readonly error: null; readonly value: unknown };

const errorSchema = v.object({
  error: v.object({
    code: v.number(),
    err_code: v.optional(v.number(), 0),
    description: v.optional(v.string(), ''),
  }),
});

export function isFull({ errCode, text }: ApiError): boolean {
  if (errCode === storeFailed) return /maximum bytes|no space|insufficient|resource/i.test(text);
  return fullCodes.some((code) => code === errCode);
}

type Waiting = {
  readonly subject: string;
  readonly onReply: (message: RawMessage) => void;
  /** The server has dropped what was published on the subject. */
  readonly onRefused?: () => void;
  readonly scope: CallScope;
};

export class JetStream {
  readonly link: RawLink;
  readonly #prefix: string;
  readonly #waiting = new Map<string, Waiting>();
  #next = 0;
  /** Without replies nothing can be asked: known once, said at once. */
  #hasReplies = true;

  constructor(link: RawLink) {
    this.link = link;
    this.#prefix = link.inbox();
    link.subscribe(`${this.#prefix}.*`, (message) => {
      this.#waiting.get(message.subject.slice(this.#prefix.length + 1))?.onReply(message);
    });
    link.onRefused((subject) => this.#refused(subject));
  }

  /** A reply subject of this call's own; several messages may come to it. */
  expect(waiting: Waiting): { readonly reply: string; end(): void } {
    if (!this.#hasReplies) this.#fail(waiting, `${this.#prefix}.*`);
    const token = (this.#next++).toString(36);
    this.#waiting.set(token, waiting);
    return { reply: `${this.#prefix}.${token}`, end: () => this.#waiting.delete(token) };
  }

  /** One message, one reply. */
  async ask(
    subject: string,
    payload: Uint8Array | string,
    scope: CallScope,
    headers?: Readonly<Record<string, string>>,
  ): Promise<RawMessage> {
    const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload;
    return await scope.wait<RawMessage>((resolve) => {
      const { reply, end } = this.expect({ subject, scope, onReply: resolve });
      this.link.publish(subject, bytes, headers === undefined ? { reply } : { reply, headers });
      return end;
    });
  }

  /** A request of JetStream's API. */
  async api(name: string, body: unknown, scope: CallScope): Promise<ApiReply> {
    const text = body === null ? '' : JSON.stringify(body);
    const reply = await this.ask(`$JS.API.${name}`, text, scope);
    if (reply.headers?.code === 503) throw this.#noJetStream(scope);
    return this.read(reply, scope);
  }

  /** Like `api`, without waiting for the answer. */
  tell(name: string): void {
    this.link.publish(`$JS.API.${name}`, new Uint8Array(0), { reply: `${this.#prefix}.none` });
  }

  /** An API reply or a publish acknowledgement. Throws when JetStream is not to be had. */
  read(message: RawMessage, scope: CallScope): ApiReply {
    if (message.headers?.code === 503) {
      const text = `${scope.what}: ${this.link.shown} does not store it: the bucket has been deleted`;
      throw flaw('unreachable', text);
    }
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder().decode(message.data));
    } catch (cause) {
      throw flaw('unreachable', `${scope.what}: ${this.link.shown} answers no JSON`, cause);
    }
    const failed = v.safeParse(errorSchema, value);
    if (!failed.success) return { error: null, value };
    const { code, err_code, description } = failed.output.error;
    if (err_code === apiCode.noJetStream || err_code === apiCode.noJetStreamForAccount) {
      throw this.#noJetStream(scope);
    }
    return { error: { code, errCode: err_code, text: description } };
  }

  /** What an answer says. Throws where it is not of the schema's form: whoever sent it is no JetStream. */
  fitting<Schema extends v.GenericSchema>(
    schema: Schema,
    value: unknown,
    { what }: CallScope,
  ): v.InferOutput<Schema> {
    const read = v.safeParse(schema, value);
    if (read.success) return read.output;
    const [issue] = read.issues;
    const where = `${v.getDotPath(issue) ?? 'it'}: ${issue.message}`;
    throw flaw('unreachable', `${what}: ${this.link.shown} answers in no form we know: ${where}`);
  }

  /** For an answer that we know no way on from. */
  refusal(error: ApiError, scope: CallScope): Fault {
    const words = `${error.text} (${error.errCode === 0 ? error.code : error.errCode})`;
    return flaw('unreachable', `${scope.what}: JetStream at ${this.link.shown} says: ${words}`);
  }

  #noJetStream({ what }: CallScope): Fault {
    const mend = 'start nats-server with -js, or with a jetstream block in its configuration';
    return flaw('unreachable', `${what}: ${this.link.shown} has no JetStream; ${mend}`);
  }

  #refused(subject: string): void {
    if (subject.startsWith(this.#prefix)) this.#hasReplies = false;
    for (const waiting of [...this.#waiting.values()]) {
      if (this.#hasReplies && waiting.subject !== subject) continue;
      this.#fail(waiting, subject);
    }
  }

  #fail({ scope, onRefused }: Waiting, subject: string): void {
    const mend = 'grant $JS.API.>, $O.> and _INBOX.>';
    const text = `${scope.what}: ${this.link.shown} does not permit ${subject} to this user; ${mend}`;
    scope.fail(flaw('unreachable', text));
    onRefused?.();
  }
}
