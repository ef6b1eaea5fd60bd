// A real nats-server with a configuration of the test's own (TLS, accounts, clusters), on a free port,
// ended by its own pid; with the test's process it dies, too.

import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { guardCommand } from '../../src/plane/guard.ts';
import { findNatsServer } from '../../src/plane/nats-binary.ts';
import { guardSelf } from './nats-world.ts';

export type NatsProcess = {
  readonly port: number;
  readonly pid: number;
  /** Where other members of a cluster reach it; 0 without one. */
  readonly routePort: number;
  kill(): Promise<void>;
};

let count = 0;

/** @param port 0: any free one. */
export async function startNatsProcess(
  folder: string,
  config: string,
  port = 0,
): Promise<NatsProcess> {
  const program = await findNatsServer({ cacheDir: folder, embedded: null });
  const path = join(folder, `server-${count++}.conf`);
  writeFileSync(path, `host: "127.0.0.1"\nport: ${port === 0 ? -1 : port}\n${config}\n`);
  const child = Bun.spawn(guardCommand(program, ['-c', path], guardSelf), {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  });
  const ports = await readyPorts(child.stderr, /^\s*cluster \{/m.test(config));
  return {
    ...ports,
    pid: child.pid,
    async kill() {
      child.kill('SIGKILL');
      await child.exited;
    },
  };
}

/** Reads on until the end, so that the server never waits for its log. */
function readyPorts(
  stream: ReadableStream<Uint8Array>,
  isMember: boolean,
): Promise<Pick<NatsProcess, 'port' | 'routePort'>> {
  return new Promise((resolve, reject) => {
    const read = async () => {
      const decoder = new TextDecoder();
      let text = '';
      for await (const part of stream) {
        text += decoder.decode(part, { stream: true });
        if (!text.includes('Server is ready') || !/client connections on/.test(text)) continue;
        const portOf = (kind: string) =>
          Number(new RegExp(`for ${kind} connections on .*:(\\d+)`).exec(text)?.[1] ?? 0);
        const routePort = portOf('route');
        if (isMember && routePort === 0) continue;
        resolve({ port: portOf('client'), routePort });
      }
      reject(new Error(`nats-server ended: ${text}`));
    };
    read().catch(reject);
  });
}

/** The line with which the server greets a new connection. */
export function infoOf(port: number): Promise<{ readonly connect_urls?: readonly string[] }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('data', (data) => {
      socket.destroy();
      resolve(JSON.parse(data.toString('utf8').replace(/^INFO /, '')));
    });
    socket.once('error', reject);
  });
}
