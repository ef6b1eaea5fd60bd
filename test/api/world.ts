// A gateway on a free port over a fake cluster, and the few calls that the tests make to it.

import { type ApiServer, createServer, type ServerOptions } from '../../src/api/server.ts';
import { realClock } from '../../src/std/clock.ts';
import { seededChance } from '../../src/std/prng.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { FakeCluster, type Script } from './fake-cluster.ts';

export type World = AsyncDisposable & {
  readonly cluster: FakeCluster;
  readonly server: ApiServer;
  fetch(path: string, init?: BunFetchRequestInit): Promise<Response>;
  /** A chat request with one user message, and whatever else `fields` says. */
  chat(fields?: Readonly<Record<string, unknown>>, init?: BunFetchRequestInit): Promise<Response>;
  /** Any body to any route. */
  post(path: string, body: unknown, init?: BunFetchRequestInit): Promise<Response>;
};

export function openWorld(script?: Script, options: Partial<ServerOptions> = {}): World {
  const cluster = new FakeCluster();
  if (script !== undefined) cluster.script = script;
  const server = createServer({
    cluster,
    clock: realClock,
    chance: seededChance(1),
    log: silentLog,
    host: '127.0.0.1',
    port: 0,
    corsOrigins: ['http://localhost'],
    queueLimit: 8,
    queueTimeoutMs: 5000,
    version: '1.2.3',
    ...options,
  });
  const call = (path: string, init?: BunFetchRequestInit): Promise<Response> =>
    fetch(`${server.url}${path}`, init);
  const post = (path: string, body: unknown, init: BunFetchRequestInit = {}): Promise<Response> =>
    call(path, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...init,
      headers: { 'content-type': 'application/json', ...init.headers },
    });
  return {
    cluster,
    server,
    fetch: call,
    post,
    chat: (fields = {}, init = {}) => {
      const messages = [{ role: 'user', content: 'hi' }];
      return post('/v1/chat/completions', { model: 'llama', messages, ...fields }, init);
    },
    [Symbol.asyncDispose]: () => server.stop({ limitMs: 0 }),
  };
}

/** The objects of an event stream that must end in `[DONE]`. */
export async function eventsOf(response: Response): Promise<unknown[]> {
  const events = (await response.text()).split('\n\n');
  if (events.pop() !== '') throw new Error('the last event is not terminated');
  if (events.pop() !== 'data: [DONE]') throw new Error('the stream does not end in [DONE]');
  return events.map((event) => {
    if (!event.startsWith('data: ')) throw new Error(`no data event: ${event}`);
    return JSON.parse(event.slice('data: '.length));
  });
}

/** A JSON body, untyped: what it must be is what the test is about to say. */
export async function jsonOf(response: Response): Promise<ReturnType<typeof JSON.parse>> {
  return JSON.parse(await response.text());
}
