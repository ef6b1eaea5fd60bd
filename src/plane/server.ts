// nats-server as our child (`--initialize-request-plane`): started with JetStream in a store folder of
// its own, watched until it is ready, stopped and cleaned away at the end. It dies with us even after
// kill -9 (plane/guard.ts). Everything that can go wrong at the start is one line with its mend.

import { rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type Clock, realClock, withDeadline } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import { guardCommand } from './guard.ts';
import { type BinarySearch, findNatsServer } from './nats-binary.ts';
import { natsConfig } from './nats-config.ts';
import { createStore } from './nats-store.ts';
import { type PlaneUri, parsePlaneUris } from './uri.ts';

const readyTimeoutMs = 15_000;
const stopTimeoutMs = 5000;

export type NatsServerOptions = BinarySearch & {
  /** The one address of the request plane; port 0 = any free one. */
  readonly uri: string;
  readonly log: Log;
  /** Folder in which the store folder is made. */
  readonly storeRoot: string;
  /** How to start this program again; tests give their own. */
  readonly self?: readonly string[];
  readonly clock?: Clock;
};

export type NatsServer = {
  /** Where it listens, without credentials. */
  readonly uri: string;
  readonly port: number;
  readonly pid: number;
  /** Resolves with one line when it has ended, wanted or not. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
};

/** Throws a Fault `config` (or `usage` for a bad address) with the mend. */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const clock = options.clock ?? realClock;
  const uri = theOne(options.uri);
  const program = await findNatsServer(options);
  const store = createStore(options.storeRoot);
  const config = join(store, 'nats.conf');
  writeFileSync(config, natsConfig(uri, join(store, 'jetstream')), { mode: 0o600 });
  options.log.info('Starting nats-server', { uri: uri.shown, program });
  const child = Bun.spawn(guardCommand(program, ['-c', config], options.self), {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  });
  const removeStore = () => rmSync(store, { recursive: true, force: true });
  const ended = child.exited.then((code) => {
    removeStore();
    return `nats-server ended with ${child.signalCode ?? `exit code ${code}`}`;
  });
  const stop = async () => {
    child.kill('SIGTERM');
    const late = () => new Fault('timeout', `nats-server did not stop in ${stopTimeoutMs} ms`);
    await withDeadline(clock, stopTimeoutMs, ended, late).catch((fault: Error) => {
      options.log.warn(fault.message);
      child.kill('SIGKILL');
    });
    await ended;
  };
  const output = watch(child.stderr, options.log);
  const late = () => new Fault('timeout', `was not ready within ${readyTimeoutMs} ms`);
  try {
    const port = await withDeadline(clock, readyTimeoutMs, output, late);
    await withDeadline(clock, readyTimeoutMs, greeting(uri.host, port), late);
    const shown = uri.shown.replace(/:\d+$/, `:${port}`);
    return { uri: shown, port, pid: child.pid, ended, stop };
  } catch (error) {
    await stop();
    throw startFault(uri, error instanceof Error ? error.message : String(error));
  }
}

function theOne(text: string): PlaneUri {
  const [uri, ...more] = parsePlaneUris(text);
  if (uri === undefined || more.length > 0) {
    throw new Fault('usage', 'starting nats-server needs exactly one request plane address');
  }
  if (uri.tls) {
    const mend = 'use nats://, or run nats-server yourself with its certificate';
    throw new Fault('config', `cannot start nats-server at ${uri.shown}: no certificate; ${mend}`);
  }
  return uri;
}

/**
 * Reads the server's lines for as long as it lives. Resolves with its port when it says that it is
 * ready, rejects with its last words when it ends before.
 */
function watch(stream: ReadableStream<Uint8Array>, log: Log): Promise<number> {
  return new Promise<number>((resolve, reject) => {
    let port = 0;
    let lastWords = 'it ended at once';
    const onLine = (line: string) => {
      const listening = /Listening for client connections on .*:(\d+)$/.exec(line);
      if (listening !== null) port = Number(listening[1]);
      if (line.includes('Server is ready')) resolve(port);
      const text = line.replace(/^\[\d+\] \S+ \S+ /, '');
      if (/^\[(FTL|ERR)\]|^nats-server:|^cannot execute/.test(text)) lastWords = text;
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
      () => reject(new Error(lastWords)),
      (error: unknown) => reject(new Error(String(error))),
    );
  });
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

function startFault(uri: PlaneUri, words: string): Fault {
  const where = `cannot start nats-server at ${uri.shown}`;
  if (words.includes('address already in use')) {
    return new Fault(
      'config',
      `${where}: the port is taken; leave out --initialize-request-plane to use what runs there, stop it, or choose another port in --request-plane-uri`,
    );
  }
  if (words.includes('cannot assign requested address')) {
    return new Fault(
      'config',
      `${where}: that address is not on this machine; start it there, or use 0.0.0.0`,
    );
  }
  return new Fault('config', `${where}: ${words}`);
}
