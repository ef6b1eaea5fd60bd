// One life of a nats-server that is our child: started with a configuration file, watched until it is
// ready, stopped. It dies with us even after kill -9 (plane/guard.ts). Everything that can go wrong at
// the start is one line with its mend. Whether it gets another life is plane/server.ts's.

import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type Clock, withDeadline } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import { guardCommand } from './guard.ts';
import { natsConfig } from './nats-config.ts';
import { isOwnFolder } from './nats-store.ts';
import type { PlaneUri } from './uri.ts';

const readyTimeoutMs = 15_000;
const stopTimeoutMs = 5000;
const lastWordsMs = 2000;

export type LaunchOptions = {
  /** Where it is to listen; port 0 = any free one. Its credentials are asked for. */
  readonly uri: PlaneUri;
  /** The nats-server executable. */
  readonly program: string;
  /** Folder of its configuration and, below, of JetStream; made if it is not there. */
  readonly store: string;
  /** How to start this program again; tests give their own. */
  readonly self?: readonly string[] | undefined;
  readonly log: Log;
  readonly clock: Clock;
  /** How a server that runs there already would be used, said where the port is taken. */
  readonly joining?: string | undefined;
};

export type NatsLife = {
  readonly pid: number;
  /** Its port, when it accepts. Rejects with a Fault `config`, and then it has ended. */
  readonly ready: Promise<number>;
  /** Resolves with one line when it has ended, wanted or not. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
};

export const jetStreamFolder = 'jetstream';

export function launchNats(options: LaunchOptions): NatsLife {
  const { uri, store, clock, log } = options;
  makeOwn(store);
  const config = join(store, 'nats.conf');
  writeFileSync(config, natsConfig(uri, join(store, jetStreamFolder)), { mode: 0o600 });
  log.info('Starting nats-server', { uri: uri.shown, program: options.program });
  const child = Bun.spawn(guardCommand(options.program, ['-c', config], options.self), {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
    detached: true, // out of the terminal's group: Ctrl-C is for us, and we stop it last
  });
  const output = watch(child.stderr, log, clock);
  const how = child.exited.then((code) => `ended with ${child.signalCode ?? `exit code ${code}`}`);
  const ended = how.then((text) => {
    const words = output.lastWords();
    return `nats-server ${text}${words === null ? '' : `: ${words}`}`;
  });
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    const late = () => new Fault('timeout', `nats-server did not stop in ${stopTimeoutMs} ms`);
    await withDeadline(clock, stopTimeoutMs, ended, late).catch((fault: Error) => {
      log.warn(fault.message);
      child.kill('SIGKILL');
    });
    await ended;
  };
  const becomeReady = async (): Promise<number> => {
    const late = () => new Fault('timeout', `was not ready within ${readyTimeoutMs} ms`);
    try {
      const port = await withDeadline(clock, readyTimeoutMs, output.port, late);
      await withDeadline(clock, readyTimeoutMs, greeting(uri.host, port), late);
      return port;
    } catch (error) {
      await stop();
      const words = error instanceof Error ? error.message : String(error);
      throw startFault(uri, words === '' ? `it ${await how}` : words, options.joining);
    }
  };
  return { pid: child.pid, ready: becomeReady(), ended, stop };
}

/** The folder may have been cleared away meanwhile, and anybody may make one where it was. */
function makeOwn(store: string): void {
  mkdirSync(store, { recursive: true, mode: 0o700 });
  if (isOwnFolder(store)) return;
  const mend = 'remove it, or set TMPDIR to a folder of your own';
  const text = `cannot start nats-server in ${store}: others may write there, or it is theirs; ${mend}`;
  throw new Fault('config', text, { reason: 'folder' });
}

type Watched = {
  /** Resolves when it says that it is ready, rejects with its last words, or none, when it ends before. */
  readonly port: Promise<number>;
  lastWords(): string | null;
};

/** Reads the server's lines for as long as it lives. */
function watch(stream: ReadableStream<Uint8Array>, log: Log, clock: Clock): Watched {
  let lastWords: { readonly text: string; readonly atMs: number } | null = null;
  const port = new Promise<number>((resolve, reject) => {
    let found = 0;
    const onLine = (line: string) => {
      const listening = /Listening for client connections on .*:(\d+)$/.exec(line);
      if (listening !== null) found = Number(listening[1]);
      if (line.includes('Server is ready')) resolve(found);
      const text = line.replace(/^\[\d+\] \S+ \S+ /, '');
      if (/^\[(FTL|ERR)\]|^nats-server:|^cannot execute/.test(text))
        lastWords = { text, atMs: clock.nowMs() };
      if (/^\[(FTL|ERR|WRN)\]/.test(text)) log.debug(`nats-server: ${text}`);
    };
    const read = async () => {
      const decoder = new TextDecoder();
      let rest = '';
      for await (const part of stream) {
        const lines = (rest + decoder.decode(part, { stream: true })).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) onLine(line);
      }
      onLine(rest);
    };
    read().then(
      () => reject(new Error(lastWords?.text ?? '')),
      (error: unknown) => reject(new Error(String(error))),
    );
  });
  // What it complained of long before is not what it died of.
  const isLast = (): boolean => lastWords !== null && clock.nowMs() - lastWords.atMs < lastWordsMs;
  return { port, lastWords: () => (isLast() ? (lastWords?.text ?? null) : null) };
}

/** Connects once and waits for the line with which NATS greets: it really accepts. */
function greeting(host: string, port: number): Promise<void> {
  const target = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return new Promise<void>((resolve, reject) => {
    const socket = connect({ host: target, port });
    socket.once('data', (data) => {
      socket.destroy();
      if (data.toString('latin1').startsWith('INFO ')) resolve();
      else reject(new Error(`port ${port} is answered by something that is not NATS`));
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`port ${port} closed the connection`)));
  });
}

/** Of who has asked for the server by its flag. */
const joiningDefault =
  'leave out --initialize-request-plane to use what runs there, stop it, or choose another port in --request-plane-uri';

function startFault(uri: PlaneUri, words: string, joining = joiningDefault): Fault {
  const where = `cannot start nats-server at ${uri.shown}`;
  if (words.includes('address already in use')) {
    return new Fault('config', `${where}: the port is taken; ${joining}`, { reason: 'port' });
  }
  if (words.includes('cannot assign requested address')) {
    return new Fault(
      'config',
      `${where}: that address is not on this machine; start it there, or use 0.0.0.0`,
      { reason: 'address' },
    );
  }
  return new Fault('config', `${where}: ${words}`);
}
