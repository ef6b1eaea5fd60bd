// nats-server with a configuration of the test's own, on a free port, ended by its own pid.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findNatsServer } from '../../src/plane/nats-binary.ts';
import { temporaryFolder } from './nats-world.ts';

export type BareNats = {
  readonly uri: string;
  readonly port: number;
  stop(): Promise<void>;
};

/** `$STORE` in `config` becomes a folder of its own. */
export async function startBareNats(config: string): Promise<BareNats> {
  const folder = temporaryFolder();
  const file = join(folder.path, 'nats.conf');
  writeFileSync(file, `host: 127.0.0.1\nport: -1\n${config.replaceAll('$STORE', folder.path)}\n`);
  const program = await findNatsServer({ cacheDir: folder.path });
  const child = Bun.spawn([program, '-c', file], {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  });
  const stop = async () => {
    child.kill('SIGKILL');
    await child.exited;
    folder.remove();
  };
  const port = await portOf(child.stderr);
  if (port !== null) return { uri: `nats://127.0.0.1:${port}`, port, stop };
  await stop();
  throw new Error('nats-server ended before it was ready');
}

/** Reads on behind the back of who asked: a full pipe would stop the server. */
function portOf(stream: ReadableStream<Uint8Array>): Promise<number | null> {
  return new Promise((resolve) => {
    const read = async () => {
      let text = '';
      const decoder = new TextDecoder();
      for await (const part of stream) {
        text += decoder.decode(part, { stream: true });
        const port = /Listening for client connections on .*:(\d+)/.exec(text)?.[1];
        if (port !== undefined && text.includes('Server is ready')) resolve(Number(port));
      }
      resolve(null);
    };
    void read();
  });
}
