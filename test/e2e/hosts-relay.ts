// A program of the tests': passes TCP connections on, later by some milliseconds each way. Its one
// argument is a `Relay` (hosts.ts) as JSON.

import { connect, createServer, type Socket } from 'node:net';
import { realClock } from '../../src/std/clock.ts';
import type { Relay } from './hosts.ts';

const relay: Relay = JSON.parse(process.argv[2] ?? '');
let backBytes = Number.NEGATIVE_INFINITY;

process.on('SIGUSR1', () => {
  backBytes = 0;
  console.log('armed');
});

function count(bytes: number): void {
  backBytes += bytes;
  if (backBytes < relay.tellBytes) return;
  backBytes = Number.NEGATIVE_INFINITY;
  console.log('passed');
}

/** Timers of one delay fire in the order of their making: bytes keep theirs. */
function pass(from: Socket, to: Socket, onBytes: (bytes: number) => void): void {
  const later = (act: () => void): void => {
    if (relay.delayMs === 0) act();
    else realClock.after(relay.delayMs, act);
  };
  from.on('data', (data) => {
    onBytes(data.length);
    later(() => to.write(data));
  });
  from.on('end', () => later(() => to.end()));
  from.on('error', () => to.destroy());
  from.on('close', () => later(() => to.destroy()));
}

const server = createServer({ allowHalfOpen: true }, (near) => {
  const far = connect({ ...relay.target, allowHalfOpen: true });
  pass(near, far, () => undefined);
  pass(far, near, count);
});
server.listen(relay.listen, () => console.log('listening'));
