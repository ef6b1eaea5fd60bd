// Several gateways behind one address: a TCP round-robin that knows nothing of HTTP. Who refuses the
// connection is passed over; a connection that breaks afterwards breaks for the client as well.

import { connect, createServer, type Socket } from 'node:net';

export type Balancer = AsyncDisposable & {
  readonly url: string;
  /** Connections that each of them has got. */
  readonly counts: readonly number[];
};

export async function openBalancer(ports: readonly number[]): Promise<Balancer> {
  const counts = ports.map(() => 0);
  const open = new Set<Socket>();
  let turn = 0;

  const lead = (client: Socket, first: number, refusals = 0): void => {
    if (refusals === ports.length) return void client.destroy();
    const index = (first + refusals) % ports.length;
    const target = connect({ host: '127.0.0.1', port: ports[index] ?? 0, allowHalfOpen: true });
    target.once('error', () => lead(client, first, refusals + 1));
    target.once('connect', () => {
      counts[index] = (counts[index] ?? 0) + 1;
      target.removeAllListeners('error');
      join(client, target);
    });
  };
  const join = (client: Socket, target: Socket): void => {
    open.add(client).add(target);
    for (const [one, other] of [
      [client, target],
      [target, client],
    ] as const) {
      one.setNoDelay(true);
      one.once('error', () => other.resetAndDestroy());
      one.once('close', () => {
        open.delete(one);
        other.destroySoon();
      });
      one.pipe(other);
    }
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    client.on('error', () => client.destroy());
    lead(client, turn++);
  });
  await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return {
    url: `http://127.0.0.1:${address.port}`,
    counts,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
