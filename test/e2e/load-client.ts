// Clients that read a stream as load generators do: over one keep-alive connection, each chunk of the
// HTTP body taken for one response and never cut or joined (libcurl's write callback, as perf_analyzer
// and so genai-perf see it).

import type { ChatBody, Chunk } from './chat.ts';

export type Reply = {
  readonly head: string;
  /** The chunks of the body as they were sent. */
  readonly writes: readonly string[];
};

export class LoadConnection {
  #socket: Bun.Socket<undefined> | null = null;
  #rest = '';
  #tell: () => void = () => undefined;
  #closed = false;

  static async open(url: string): Promise<LoadConnection> {
    const { hostname, port } = new URL(url);
    const own = new LoadConnection();
    own.#socket = await Bun.connect({
      hostname,
      port: Number(port),
      socket: {
        data: (_, bytes) => {
          own.#rest += bytes.toString('latin1');
          own.#tell();
        },
        close: () => {
          own.#closed = true;
          own.#tell();
        },
      },
    });
    return own;
  }

  close(): void {
    this.#socket?.end();
  }

  /** One request; its answer must be a chunked body. */
  async stream(body: ChatBody, headers: readonly string[] = []): Promise<Reply> {
    const text = JSON.stringify({ ...body, stream: true });
    const lines = [
      'POST /v1/chat/completions HTTP/1.1',
      'Host: load',
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(text)}`,
      ...headers,
    ];
    this.#socket?.write(`${lines.join('\r\n')}\r\n\r\n${text}`);
    const head = await this.#until('\r\n\r\n');
    if (!/^HTTP\/1\.1 200 /.test(head) || !/transfer-encoding: chunked/i.test(head)) {
      throw new Error(`no stream: ${head}${this.#rest}`);
    }
    const writes: string[] = [];
    for (;;) {
      const size = Number.parseInt(await this.#until('\r\n'), 16);
      const chunk = await this.#take(size + 2);
      if (size === 0) return { head, writes };
      writes.push(Buffer.from(chunk.slice(0, size), 'latin1').toString());
    }
  }

  async #until(mark: string): Promise<string> {
    while (!this.#rest.includes(mark)) await this.#more();
    return await this.#take(this.#rest.indexOf(mark) + mark.length);
  }

  async #take(length: number): Promise<string> {
    while (this.#rest.length < length) await this.#more();
    const taken = this.#rest.slice(0, length);
    this.#rest = this.#rest.slice(length);
    return taken;
  }

  async #more(): Promise<void> {
    if (this.#closed) throw new Error(`the connection ended: ${this.#rest}`);
    await new Promise<void>((resolve) => {
      this.#tell = resolve;
    });
  }
}

/**
 * As genai-perf reads the responses of perf_analyzer: each begins with `data: ` and is one event, the
 * last one is `[DONE]` alone, and every other one has a choice.
 */
export function genaiPerfChunks(writes: readonly string[]): readonly Chunk[] {
  const wrong = writes.find((write) => !/^data: [^\n]*\n\n$/.test(write));
  if (wrong !== undefined) throw new Error(`no single event: ${JSON.stringify(wrong)}`);
  if (writes.length < 2 || writes.at(-1) !== 'data: [DONE]\n\n') throw new Error('no last [DONE]');
  return writes.slice(0, -1).map((write) => {
    const chunk: Chunk = JSON.parse(write.slice('data: '.length));
    if (chunk.choices[0] === undefined) throw new Error(`a chunk without a choice: ${write}`);
    return chunk;
  });
}

/** As `vllm bench serve` reads: lines without their prefix; the first chunk with choices is a token. */
export function vllmBench(writes: readonly string[]) {
  let text = '';
  let firstIsToken: boolean | null = null;
  let usage: Chunk['usage'];
  for (const write of writes) {
    const event = write.trim().replace(/^data: /, '');
    if (event === '[DONE]') continue;
    const chunk: Chunk = JSON.parse(event);
    if (chunk.choices.length > 0) {
      const content = chunk.choices[0]?.delta.content ?? '';
      firstIsToken ??= content !== '';
      text += content;
    } else if (chunk.usage !== undefined) usage = chunk.usage;
  }
  return { text, firstIsToken, usage };
}
