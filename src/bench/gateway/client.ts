// The cheapest client there is: one raw keep-alive connection that counts events instead of parsing
// them, so that on a machine of two cores the load does not cost more than what is measured.

import { Fault } from '../../std/fault.ts';

export type Ask = {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly stream: boolean;
  /** Milliseconds between tokens; 0: at once. */
  readonly paceMs: number;
};

/** What one answer was: when its events came, by `performance.now`. */
export type Timed = {
  readonly beganMs: number;
  readonly endMs: number;
  /** Of a stream: arrivals of its events, `[DONE]` left out. */
  readonly eventsMs: readonly number[];
};

const dataWord = Buffer.from('data: ');
const streamEnd = Buffer.from('data: [DONE]\n\n');

export class Connection {
  #socket: Bun.Socket<undefined> | null = null;
  #take: (bytes: Buffer) => void = () => undefined;
  #fail: (fault: Fault) => void = () => undefined;

  static async open(url: string): Promise<Connection> {
    const { hostname, port } = new URL(url);
    const own = new Connection();
    own.#socket = await Bun.connect({
      hostname,
      port: Number(port),
      socket: {
        data: (_, bytes) => own.#take(bytes),
        close: () => own.#fail(new Fault('internal', 'the gateway closed a connection')),
      },
    });
    return own;
  }

  close(): void {
    this.#fail = () => undefined;
    this.#socket?.end();
  }

  /** One request, and its answer to the end. One at a time. */
  ask(ask: Ask): Promise<Timed> {
    return new Promise((resolve, reject) => {
      const beganMs = performance.now();
      const eventsMs: number[] = [];
      let head = '';
      this.#fail = reject;
      const end = (): void => resolve({ beganMs, endMs: performance.now(), eventsMs });
      this.#take = (bytes) => {
        if (head === '') {
          head = bytes.toString('latin1', 0, 200);
          if (!head.startsWith('HTTP/1.1 200')) {
            reject(new Fault('internal', `a request failed: ${bytes.toString()}`));
            return;
          }
        }
        if (!ask.stream) {
          if (bytes.at(-1) === 0x7d) end(); // the last brace of the object
          return;
        }
        const atMs = performance.now();
        const isEnd = bytes.includes(streamEnd);
        const count = countOf(bytes, dataWord) - (isEnd ? 1 : 0);
        for (let event = 0; event < count; event++) eventsMs.push(atMs);
        if (isEnd) end();
      };
      this.#send(ask);
    });
  }

  #send({ prompt, maxTokens, stream, paceMs }: Ask): void {
    const body = JSON.stringify({
      model: 'echo',
      messages: [{ role: 'user', content: prompt }],
      max_tokens: maxTokens,
      seed: paceMs,
      stream,
    });
    const lines = [
      'POST /v1/chat/completions HTTP/1.1',
      'Host: bench',
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(body)}`,
    ];
    let rest = Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`);
    const more = (): void => {
      rest = rest.subarray(this.#socket?.write(rest) ?? rest.length);
      if (rest.length > 0) setImmediate(more);
    };
    more();
  }
}

function countOf(bytes: Buffer, word: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(word); at >= 0; at = bytes.indexOf(word, at + word.length)) count++;
  return count;
}
