// Requests to the hub, and to where it sends us for the bytes. The token goes to the hub's own origin and
// nowhere else, an answer that stays away is given up, and whoever does not give something says so by a
// Fault (refusal.ts).

import { limit } from '../protocol/limit.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { Repo } from './name.ts';
import { foreignRefusal, refusalOf } from './refusal.ts';
import { defaultEndpoint, type HubSettings } from './settings.ts';

export type HubHttpOptions = {
  readonly settings: HubSettings;
  readonly clock: Clock;
  readonly repo: Repo;
  /** For the headers of an answer, and for the whole of a short one. */
  readonly limitMs: number;
  readonly signal: AbortSignal;
};

export type Asked = {
  readonly method?: string | undefined;
  readonly headers: Headers;
  readonly body?: string | undefined;
  readonly file: string | null;
  readonly signal: AbortSignal;
};

export type Opened = {
  /** 200 or 206, from wherever the bytes are. */
  readonly response: Response;
  /** What the hub itself says of a file whose bytes are elsewhere. */
  readonly linkedEtag: string | null;
  readonly linkedSize: number | null;
};

const redirectMax = 5;

export class HubHttp {
  readonly #options: HubHttpOptions;
  readonly #origin: string;
  #answerCount = 0;

  constructor(options: HubHttpOptions) {
    this.#options = options;
    this.#origin = new URL(options.settings.endpoint).origin;
  }

  get host(): string {
    return new URL(this.#origin).host;
  }

  /** `fetch` for the library: short answers only, whole or not at all. */
  readonly fetch: typeof fetch = Object.assign(
    async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
      const url = new URL(input instanceof Request ? input.url : input);
      const headers = new Headers(init.headers);
      const body = typeof init.body === 'string' ? init.body : undefined;
      const { signal } = this.#options;
      if (++this.#answerCount > limit.hubAnswerCountMax) {
        throw new Fault('config', `${this.host} has no end of pages; is HF_ENDPOINT a hub?`);
      }
      return await this.#within(signal, async (inner) => {
        const asked = { method: init.method, headers, body, file: null, signal: inner };
        const { response } = await this.#follow(url, asked);
        return new Response(await wholeBody(response), {
          status: response.status,
          headers: response.headers,
        });
      });
    },
    { preconnect: fetch.preconnect },
  );

  /** A file's bytes from `fromByte` on. `signal` also ends the body. */
  async open(url: URL, file: string, fromByte: number, signal: AbortSignal): Promise<Opened> {
    const headers = new Headers({ 'accept-encoding': 'identity' });
    if (fromByte > 0) headers.set('range', `bytes=${fromByte}-`);
    const body = new AbortController();
    const both = AbortSignal.any([signal, body.signal]);
    const late = (): void => body.abort();
    return await this.#within(both, () => this.#follow(url, { headers, file, signal: both }), late);
  }

  /** Runs `work`, at most for `limitMs`; whatever goes wrong is a Fault. */
  async #within<T>(
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
    onLate: () => void = () => undefined,
  ): Promise<T> {
    const { clock, limitMs } = this.#options;
    const deadline = new AbortController();
    const timer = clock.after(limitMs, () => {
      deadline.abort();
      onLate();
    });
    try {
      return await work(AbortSignal.any([signal, deadline.signal]));
    } catch (thrown) {
      if (thrown instanceof Fault) throw thrown;
      if (this.#options.signal.aborted) throw stopped();
      if (deadline.signal.aborted) {
        const text = this.#silent(`has not answered within ${limitMs / 1000} s`);
        throw new Fault('timeout', text, { reason: 'network' });
      }
      throw networkFault(`the answer of ${this.host} broke off (${causeText(thrown)})`, thrown);
    } finally {
      timer.cancel();
    }
  }

  async #follow(start: URL, asked: Asked): Promise<Opened> {
    let url = start;
    let linkedEtag: string | null = null;
    let linkedSize: number | null = null;
    for (let hop = 0; hop <= redirectMax; hop++) {
      const response = await this.#ask(url, asked);
      if (url.origin === this.#origin) {
        linkedEtag ??= response.headers.get('x-linked-etag');
        linkedSize ??= wholeNumber(response.headers.get('x-linked-size'));
      }
      const location = response.headers.get('location');
      if (response.status < 300 || response.status > 399 || location === null) {
        if (response.ok) return { response, linkedEtag, linkedSize };
        throw await this.#refusal(url, response, asked.file);
      }
      await response.body?.cancel();
      url = this.#next(url, location);
    }
    throw new Fault('config', `${this.host} redirects more than ${redirectMax} times`);
  }

  async #ask(url: URL, { method = 'GET', headers, body, signal }: Asked): Promise<Response> {
    const sent = new Headers(headers);
    const { token } = this.#options.settings;
    sent.delete('authorization');
    sent.set('user-agent', 'tdist');
    if (token !== null && url.origin === this.#origin) {
      sent.set('authorization', `Bearer ${token}`);
    }
    const init = { method, headers: sent, redirect: 'manual', signal } as const;
    try {
      return await fetch(url.href, body === undefined ? init : { ...init, body });
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      const text = `cannot be reached (${causeText(thrown)})`;
      const isHub = url.origin === this.#origin;
      throw networkFault(isHub ? this.#silent(text) : `${url.host} ${text}`, thrown);
    }
  }

  /** Who the hub is was a variable's to say, and without a hub a start has one other way. */
  #silent(what: string): string {
    const isDefault = this.#options.settings.endpoint === defaultEndpoint;
    const whence = isDefault ? 'the hub while HF_ENDPOINT is not set' : 'the hub of HF_ENDPOINT';
    return `${this.host} (${whence}) ${what}; set HF_ENDPOINT to a hub that answers, or HF_HUB_OFFLINE=1 to use a model that is in the cache`;
  }

  #next(from: URL, location: string): URL {
    const url = URL.parse(location, from.href);
    const isSafer = from.protocol !== 'https:' || url?.protocol === 'https:';
    if (url !== null && /^https?:$/.test(url.protocol) && isSafer) return url;
    throw new Fault(
      'config',
      `${from.host} redirects to something that is no ${from.protocol} URL`,
    );
  }

  async #refusal(url: URL, response: Response, file: string | null): Promise<Fault> {
    await response.body?.cancel();
    if (response.status === 416) {
      return new Fault('config', `${url.host} has no such range`, { reason: 'range' });
    }
    if (url.origin !== this.#origin) return foreignRefusal(url.host, response);
    const { repo, settings } = this.#options;
    const { endpoint, token } = settings;
    const { status, headers } = response;
    return refusalOf({ status, headers, repo, endpoint, hasToken: token !== null, file });
  }
}

/** The code says it as well, and shorter: `ECONNREFUSED`. */
function causeText(thrown: unknown): string {
  const hasCode = thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string';
  return hasCode ? String(thrown.code) : toFault(thrown).message.trim();
}

async function wholeBody(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body ?? []) {
    bytes += part.byteLength;
    if (bytes > limit.hubReplyBytesMax) {
      const text = `the hub's answer is longer than ${limit.hubReplyBytesMax} bytes`;
      throw new Fault('config', `${text}; this is no repository of a model`);
    }
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

export function networkFault(text: string, cause?: unknown): Fault {
  return new Fault('config', text, { reason: 'network', cause });
}

export function stopped(): Fault {
  return new Fault('cancelled', 'the download was stopped; the next one goes on where it ended');
}

export function wholeNumber(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}
