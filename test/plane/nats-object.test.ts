// What only the real object store can show: the stock client reads ours and we read what it wrote, what
// servers refuse, and connections that go.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { connect, type NatsConnection } from 'nats';
import { openNatsObjectStore } from '../../src/plane/nats-object.ts';
import type { ObjectBucket, ObjectStore } from '../../src/plane/object-store.ts';
import { Fault } from '../../src/std/fault.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { startBareNats } from './bare-nats.ts';
import { startTestNats, temporaryFolder } from './nats-world.ts';
import {
  bucketOptions,
  bytesOf,
  natsObjectWorld,
  reasonOf,
  sameBytes,
  until,
} from './object-world.ts';

const mib = 1024 * 1024;
const call = { timeoutMs: 10_000 };
const openAt = (uri: string): ObjectStore =>
  openNatsObjectStore({ uris: [uri], name: 'test', log: silentLog });

async function puts(bucket: ObjectBucket): Promise<boolean> {
  const put = await bucket.put('x', bytesOf(9), call).catch(() => null);
  return put?.outcome === 'stored';
}

/** The message of the Fault, which must be an `unreachable` one and come at once. */
async function unreachable(work: Promise<unknown>): Promise<string> {
  const beganMs = performance.now();
  const thrown = await work.then(
    () => 'no failure',
    (error: unknown) => error,
  );
  if (!(thrown instanceof Fault)) throw new Error(`wanted a Fault, found ${String(thrown)}`);
  expect(thrown).toMatchObject({ code: 'transfer', reason: 'unreachable' });
  expect(performance.now() - beganMs).toBeLessThan(call.timeoutMs / 2);
  return thrown.message;
}

describe('beside the stock client', () => {
  const world = natsObjectWorld();
  let store: ObjectStore;
  let stock: NatsConnection;
  beforeAll(async () => {
    await world.start();
    store = world.open();
    stock = world.stock();
  });
  afterAll(async () => {
    await store.close();
    await world.end();
  });

  test('it reads ours: blob, info, list, status', async () => {
    const options = bucketOptions({ ttlMs: 120_000 });
    const bucket = store.bucket(options);
    const bytes = bytesOf(3 * mib + 5);
    const put = await bucket.put('models/a b', bytes, call);
    if (put.outcome !== 'stored') throw new Error(put.outcome);
    await bucket.put('empty', bytesOf(0), call);
    const theirs = await stock.jetstream().views.os(options.name);
    expect(sameBytes((await theirs.getBlob('models/a b')) ?? bytesOf(0), bytes)).toBe(true);
    expect(await theirs.getBlob('empty')).toHaveLength(0);
    const info = await theirs.info('models/a b');
    expect(info).toMatchObject({
      name: 'models/a b',
      bucket: options.name,
      nuid: put.info.nuid,
      size: 3 * mib + 5,
      chunks: 25,
      digest: `SHA-256=${put.info.digest}`,
      deleted: false,
      options: { max_chunk_size: 128 * 1024 },
    });
    expect(Math.abs(Date.parse(info?.mtime ?? '') - Date.now())).toBeLessThan(60_000);
    expect((await theirs.list()).map(({ name }) => name).sort()).toEqual(['empty', 'models/a b']);
    const status = await theirs.status();
    expect(status).toMatchObject({
      bucket: options.name,
      description: 'a test',
      ttl: 120_000 * 1e6,
      storage: 'memory',
      replicas: 1,
      sealed: false,
    });
    expect(status.streamInfo.config).toMatchObject({
      discard: 'new',
      max_bytes: options.bytesMax,
      allow_direct: true,
      allow_rollup_hdrs: true,
    });
    expect(status.size).toBe(await bucket.usedBytes(call));
  });

  test('the stream is the one that it would have made', async () => {
    const [ours, theirs] = [bucketOptions(), bucketOptions()];
    await store.bucket(ours).usedBytes(call);
    await stock.jetstream().views.os(theirs.name, {
      description: theirs.description,
      storage: 'memory' as never,
      max_bytes: theirs.bytesMax,
      ttl: theirs.ttlMs * 1e6,
    });
    const { streams } = await stock.jetstreamManager();
    const configOf = async (name: string) => {
      const { config } = await streams.info(`OBJ_${name}`);
      return JSON.parse(JSON.stringify(config).replaceAll(name, 'NAME')) as unknown;
    };
    expect(await configOf(ours.name)).toEqual(await configOf(theirs.name));
  });

  test.each([0, 1, mib, 3 * mib + 1])('we read its object of %d bytes', async (size) => {
    const { name } = bucketOptions();
    const theirs = await stock.jetstream().views.os(name);
    const bytes = bytesOf(size);
    await theirs.putBlob({ name: 'x', options: { max_chunk_size: 50_000 } }, bytes);
    const bucket = store.bucket(bucketOptions({ name }));
    const info = await bucket.info('x', call);
    if (info === null) throw new Error('no info');
    expect(info).toMatchObject({ bytes: size, chunkCount: Math.ceil(size / 50_000) });
    expect(sameBytes(await bucket.get(info, call), bytes)).toBe(true);
    expect(await bucket.put('x', bytesOf(3), call)).toEqual({ outcome: 'present', info });
    await bucket.remove(info, call);
    expect(await theirs.info('x')).toBeNull();
  });

  test('what it has deleted is absent, and can be put again', async () => {
    const options = bucketOptions();
    const bucket = store.bucket(options);
    await bucket.put('x', bytesOf(9), call);
    const theirs = await stock.jetstream().views.os(options.name);
    await theirs.delete('x');
    expect(await bucket.info('x', call)).toBeNull();
    expect((await bucket.put('x', bytesOf(mib), call)).outcome).toBe('stored');
    expect(sameBytes((await theirs.getBlob('x')) ?? bytesOf(0), bytesOf(mib))).toBe(true);
  });

  test('a link is refused by name, a meta message that is none too', async () => {
    const options = bucketOptions();
    const bucket = store.bucket(options);
    await bucket.put('x', bytesOf(9), call);
    const theirs = await stock.jetstream().views.os(options.name);
    const target = await theirs.info('x');
    if (target === null) throw new Error('no info');
    await theirs.link('to-x', target);
    expect(await reasonOf(bucket.info('to-x', call))).toBe('corrupt');
    const subject = `$O.${options.name}.M.${Buffer.from('odd').toString('base64url')}`;
    await stock.jetstream().publish(subject, '{');
    expect(await reasonOf(bucket.info('odd', call))).toBe('corrupt');
  });

  test('a bucket without direct get is read through its leader', async () => {
    const options = bucketOptions();
    const bucket = store.bucket(options);
    const put = await bucket.put('x', bytesOf(9), call);
    const { streams } = await stock.jetstreamManager();
    await streams.update(`OBJ_${options.name}`, { allow_direct: false });
    const other = world.open(); // which does not know yet that it was allowed
    const same = other.bucket(options);
    expect(await same.info('x', call)).toEqual(put.outcome === 'full' ? null : put.info);
    expect(await same.info('y', call)).toBeNull();
    expect((await same.put('y', bytesOf(mib), call)).outcome).toBe('stored');
    await other.close();
  });

  test('a put given up halfway takes back what is still on its way', async () => {
    const options = bucketOptions({ bytesMax: 256 * mib });
    const bucket = store.bucket(options);
    await bucket.usedBytes(call);
    const bytes = bytesOf(64 * mib); // hashing alone takes longer than the deadline
    expect(await reasonOf(bucket.put('x', bytes, { timeoutMs: 15 }))).toBe('timeout');
    const isGone = async () => (await world.leftovers(options.name)).length === 0;
    await until(isGone, 'its chunks are gone');
    // What the server would have stored after a purge that came too early is stored by now.
    await bucket.put('y', bytesOf(1), call);
    expect(await world.leftovers(options.name)).toEqual([]);
    expect(await bucket.info('x', call)).toBeNull();
  });

  test('a bucket deleted under us is made again by the next call', async () => {
    const options = bucketOptions();
    const bucket = store.bucket(options);
    await bucket.put('x', bytesOf(9), call);
    const { streams } = await stock.jetstreamManager();
    await streams.delete(`OBJ_${options.name}`);
    expect(await reasonOf(bucket.info('x', { timeoutMs: 100 }))).toBe('timeout');
    expect((await bucket.put('x', bytesOf(9), call)).outcome).toBe('stored');
  });
});

describe('what a server refuses', () => {
  const jetStream = 'jetstream { store_dir: "$STORE" }';

  test('no JetStream: said in one line, at once', async () => {
    const server = await startBareNats('');
    const store = openAt(server.uri);
    try {
      expect(store.trouble()).toBeNull();
      const bucket = store.bucket(bucketOptions());
      const text = await unreachable(bucket.put('x', bytesOf(mib), call));
      expect(text).toContain(`${server.uri} has no JetStream; start nats-server with -js, or`);
      expect(store.trouble()).toBe(text);
      const info = { name: 'x', nuid: 'n', bytes: 1, chunkCount: 1, digest: '' };
      await unreachable(bucket.get(info, call));
    } finally {
      await store.close();
      await server.stop();
    }
  });

  test.each([
    ['the API', 'publish: { deny: ["$JS.API.>"] }', /\$JS\.API\.STREAM\.INFO/],
    ['chunks', 'publish: { deny: ["$O.*.C.>"] }', /\$O\.\S+\.C\./],
    ['replies', 'subscribe: { deny: ["_INBOX.>"] }', /_INBOX/],
  ])('no right to use %s', async (_, permissions, wanted) => {
    const user = `{ user: u, password: p, permissions: { ${permissions} } }`;
    const server = await startBareNats(`${jetStream}\nauthorization { users: [ ${user} ] }`);
    const store = openAt(`nats://u:p@127.0.0.1:${server.port}`);
    try {
      const text = await unreachable(store.bucket(bucketOptions()).put('x', bytesOf(mib), call));
      expect(text).toMatch(wanted);
      expect(text).toContain('grant $JS.API.>, $O.> and _INBOX.>');
      expect(store.trouble()).toBe(text);
      await unreachable(store.bucket(bucketOptions()).put('x', bytesOf(mib), call));
    } finally {
      await store.close();
      await server.stop();
    }
  });

  test('too little memory: no bucket of that size, and no room in one without a limit', async () => {
    const server = await startBareNats('jetstream { store_dir: "$STORE", max_mem: 4MB }');
    const store = openAt(server.uri);
    const stock = await connect({ servers: server.uri });
    try {
      const text = await unreachable(store.bucket(bucketOptions()).usedBytes(call));
      expect(text).toContain('no room for 67108864 bytes of memory storage');
      expect(text).toContain('raise max_memory_store');
      const options = bucketOptions();
      await stock.jetstream().views.os(options.name, { storage: 'memory' as never });
      const bucket = store.bucket(options);
      expect(await bucket.put('x', bytesOf(8 * mib), call)).toEqual({ outcome: 'full' });
      expect(await bucket.usedBytes(call)).toBe(0);
      expect((await bucket.put('x', bytesOf(mib), call)).outcome).toBe('stored');
      expect(store.trouble()).toBeNull();
    } finally {
      await stock.close();
      await store.close();
      await server.stop();
    }
  });

  test('messages of 40 kB at most: chunks are as large as fits', async () => {
    const server = await startBareNats(`max_payload: 40000\n${jetStream}`);
    const store = openAt(server.uri);
    try {
      const bucket = store.bucket(bucketOptions());
      const put = await bucket.put('x', bytesOf(mib), call);
      if (put.outcome !== 'stored') throw new Error(put.outcome);
      expect(put.info.chunkCount).toBe(Math.ceil(mib / 40_000));
      expect(sameBytes(await bucket.get(put.info, call), bytesOf(mib))).toBe(true);
    } finally {
      await store.close();
      await server.stop();
    }
  });
});

describe('connections', () => {
  test('nobody there: said at once; used as soon as there is one', async () => {
    const folder = temporaryFolder();
    const first = await startTestNats(folder.path);
    await first.stop();
    const store = openAt(first.uri);
    const bucket = store.bucket(bucketOptions());
    expect(store.trouble()).toBeNull();
    expect(await unreachable(bucket.usedBytes(call))).toContain('connection refused');
    expect(store.trouble()).toContain('connection refused');
    const second = await startTestNats(folder.path, first.uri);
    await until(() => puts(bucket), 'it is connected');
    expect(store.trouble()).toBeNull();
    await store.close();
    await second.stop();
    folder.remove();
  });

  test('a connection that goes ends what runs, and the next one serves', async () => {
    const folder = temporaryFolder();
    const first = await startTestNats(folder.path);
    const store = openAt(first.uri);
    const bucket = store.bucket(bucketOptions());
    const put = await bucket.put('x', bytesOf(3 * mib), call);
    if (put.outcome !== 'stored') throw new Error(put.outcome);
    process.kill(first.pid, 'SIGSTOP');
    const work = [
      bucket.get(put.info, call),
      bucket.put('y', bytesOf(20 * mib), call),
      bucket.info('x', call),
      bucket.remove(put.info, call),
    ].map(unreachable);
    process.kill(first.pid, 'SIGKILL');
    for (const text of await Promise.all(work)) expect(text).toContain('unreachable');
    await first.ended;
    const second = await startTestNats(folder.path, first.uri);
    await until(() => puts(bucket), 'it is connected again');
    expect(await bucket.info('y', call)).toBeNull(); // its memory went with the server
    await store.close();
    await second.stop();
    folder.remove();
  });
});
