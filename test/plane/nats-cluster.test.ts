// A cluster of three real nats-servers: a member that is killed is replaced by another without a restart,
// be it one that the user named, one that the server told of, or one that joined later.

import { afterAll, afterEach, describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bus } from '../../src/plane/bus.ts';
import { openNatsBus } from '../../src/plane/nats.ts';
import { noNatsFiles } from '../../src/plane/nats-files.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { authority, certificate } from './certificate.ts';
import { infoOf, type NatsProcess, startNatsProcess } from './nats-process.ts';
import { connected, temporaryFolder } from './nats-world.ts';

const folder = temporaryFolder();
const lines: string[] = [];
const log = createLog({ level: 2, sink: (line) => lines.push(line), name: '' });
const running: NatsProcess[] = [];
const buses: Bus[] = [];

afterEach(async () => {
  for (const bus of buses.splice(0)) await bus.close();
  for (const server of running.splice(0)) await server.kill();
  lines.length = 0;
});
afterAll(() => folder.remove());

/** One more member with a configuration of its own. */
async function member(config: string): Promise<NatsProcess> {
  const routes = running.map(({ routePort }) => `nats-route://127.0.0.1:${routePort}`).join(', ');
  const server = await startNatsProcess(
    folder.path,
    `server_name: m${running.length}
    cluster { name: c, host: "127.0.0.1", port: -1, routes: [${routes}] }
    ${config}`,
  );
  running.push(server);
  return server;
}

/** One whose users are `me` with this password. */
const withPassword = (password: string): Promise<NatsProcess> =>
  member(`authorization { user: me, password: "${password}" }`);

/** Until each of these members tells new connections of `count` members. */
async function joined(members: readonly NatsProcess[], count: number): Promise<void> {
  for (const { port } of members) {
    // Each round is a connection; no end to this loop but the test's own time limit.
    while (((await infoOf(port)).connect_urls ?? []).length < count);
  }
}

const at = ({ port }: NatsProcess, secret: string): string => `${secret}@127.0.0.1:${port}`;

function open(uris: readonly string[], caFile: string | null = null): Bus {
  const files = { ...noNatsFiles, caFile };
  const bus = openNatsBus({ uris: [uris.join(',')], name: 'test', log, files });
  buses.push(bus);
  return bus;
}

/** A message from `from` arrives at `to`, whichever members they are connected to. */
async function reaches(from: Bus, to: Bus): Promise<void> {
  const got = Promise.withResolvers<string>();
  const ending = to.subscribe('news', (data) => got.resolve(new TextDecoder().decode(data)));
  const service = to.serve({
    name: 'tdist-test',
    version: '1.0.0',
    description: 'a test',
    metadata: {},
    endpoints: [{ name: 'op', subject: 'svc.op', handle: async (data) => data }],
  });
  await to.flush();
  // Interest travels between members by itself: asked until it has.
  for (;;) {
    const reply = await from
      .request('svc.op', new Uint8Array(3), { timeoutMs: 1000 })
      .catch(() => null);
    if (reply?.byteLength === 3) break;
  }
  from.publish('news', new TextEncoder().encode('hello'));
  expect(await got.promise).toBe('hello');
  await ending.stop();
  await service.stop();
}

async function kill(server: NatsProcess): Promise<void> {
  await server.kill();
  running.splice(running.indexOf(server), 1);
}

describe('a cluster of three', () => {
  test('addresses with credentials of their own: the next one takes over, one after the other', async () => {
    const [one, two, three] = [
      await withPassword('p1'),
      await withPassword('p2'),
      await withPassword('p3'),
    ];
    await joined([one, two, three], 3);
    const bus = open([at(one, 'me:p1'), at(two, 'me:p2'), at(three, 'me:p3')]);
    const other = open([at(three, 'me:p3')]);
    await Promise.all([connected(bus), connected(other)]);
    await reaches(other, bus);
    for (const [dead, port] of [
      [one, two.port],
      [two, three.port],
    ] as const) {
      await kill(dead);
      await connected(bus, false);
      await connected(bus);
      await reaches(other, bus);
      expect(lines.findLast((line) => line.includes('plane connected'))).toContain(`:${port}`);
    }
    expect(lines.join('\n')).not.toMatch(/p[123]@|me:p/);
  });

  test('members that the server told of are used with the credentials of the address', async () => {
    // The same password everywhere, as clusters have it.
    const one = await withPassword('p1');
    const others = [await withPassword('p1'), await withPassword('p1')];
    await joined([one, ...others], 3);
    const bus = open([at(one, 'me:p1')]);
    await connected(bus);
    await kill(one);
    await connected(bus, false);
    await connected(bus);
    const line = lines.findLast((each) => each.includes('plane connected')) ?? '';
    expect(others.some(({ port }) => line.includes(`:${port}`))).toBeTrue();
  });

  test('a member that joined after the connection was made', async () => {
    const one = await withPassword('p1');
    const bus = open([at(one, 'me:p1')]);
    await connected(bus);
    const late = await withPassword('p1');
    await joined([one, late], 2);
    await bus.flush(); // what the server told before it answered this has been read
    await kill(one);
    await connected(bus, false);
    await connected(bus);
    expect(lines.findLast((line) => line.includes('plane connected'))).toContain(`:${late.port}`);
  });

  test('TLS: members are told as bare addresses, their certificates may bear the name written', async () => {
    const ca = authority('Test CA');
    const own = certificate({ name: 's', names: ['localhost'], signer: ca });
    const [caFile, cert, key] = ['ca.pem', 's.pem', 's.key'].map((name, at) => {
      const path = join(folder.path, name);
      writeFileSync(path, [ca.pem, own.pem, own.key][at] ?? '');
      return path;
    });
    const tls = `tls { cert_file: "${cert}", key_file: "${key}" }`;
    const [one, two] = [await member(tls), await member(tls)];
    await joined([one, two], 2);
    const bus = open([`tls://localhost:${one.port}`], caFile ?? null);
    await connected(bus);
    await kill(one);
    await connected(bus, false);
    await connected(bus);
    expect(lines.findLast((line) => line.includes('plane connected'))).toContain(`:${two.port}`);
  });
});
