// A stand-in for the executable's `main`: enters the guard, or plays the process that owns a
// nats-server and gets killed. Prints `<server pid> <port>` once the server is up.

import { guardWord, runGuard } from '../../src/plane/guard.ts';
import { startNatsServer } from '../../src/plane/server.ts';
import { silentLog } from '../../src/telemetry/log.ts';

const [first, ...rest] = Bun.argv.slice(2);
if (first === guardWord) runGuard(rest);
const storeRoot = first ?? '.';
const server = await startNatsServer({
  uri: 'nats://localhost:0',
  log: silentLog,
  embedded: null,
  cacheDir: storeRoot,
  storeRoot,
});
process.stdout.write(`${server.pid} ${server.port}\n`);
await server.ended;
