// The embedded nats-server that dies: it comes back on its port, on its store where that is whole, and is
// given up by name when it dies too often. Real ones, and on a test's clock such as die at will.

import { afterAll, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { localToken } from '../../src/plane/local-token.ts';
import { openNatsBus } from '../../src/plane/nats.ts';
import type { NatsLife } from '../../src/plane/nats-launch.ts';
import { openNatsObjectStore } from '../../src/plane/nats-object.ts';
import { type NatsServerOptions, startNatsServer } from '../../src/plane/server.ts';
import { parsePlaneUris } from '../../src/plane/uri.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { Fault } from '../../src/std/fault.ts';
import { createLog, silentLog } from '../../src/telemetry/log.ts';
import { until } from '../e2e/until.ts';
import { connected, guardSelf, temporaryFolder } from './nats-world.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());
const stores = () => readdirSync(folder.path).filter((name) => name.startsWith('tdist-nats-'));
const quick = {
  pauseFirstMs: 10,
  pauseMaxMs: 50,
  healthyMs: 30_000,
  countMax: 4,
  windowMs: 60_000,
};

function start(more: Partial<NatsServerOptions> = {}) {
  return startNatsServer({
    uri: 'nats://127.0.0.1:0',
    log: silentLog,
    cacheDir: folder.path,
    storeRoot: folder.path,
    self: guardSelf,
    bounds: quick,
    ...more,
  });
}

describe('a nats-server that is killed', () => {
  const bucket = {
    name: 'kept',
    description: 'of a test',
    storage: 'file',
    bytesMax: 1024 * 1024,
    ttlMs: 600_000,
    replicaCount: 1,
  } as const;
  const bytes = new Uint8Array(1000).fill(7);
  const call = { timeoutMs: 10_000 };

  /** What is in the bucket after `act`, asked for over the same clients. */
  async function survive(act: (store: string, pid: number) => void) {
    const lines: string[] = [];
    const log = createLog({ level: 1, sink: (line) => lines.push(line), name: '' });
    const server = await start({ log });
    const client = { uris: [server.uri], name: 'test', log: silentLog };
    const bus = openNatsBus(client);
    const objects = openNatsObjectStore(client);
    await connected(bus);
    await objects.bucket(bucket).put('one', bytes, call);
    const { pid } = server;
    const lost = connected(bus, false);
    act(join(folder.path, stores()[0] ?? ''), pid);
    await lost;
    await connected(bus);
    expect(server.pid).not.toBe(pid);
    const found = await until('the bucket', () =>
      objects
        .bucket(bucket)
        .info('one', call)
        .then(
          (info) => ({ info }),
          () => null, // its own connection is not back yet
        ),
    );
    // … and it takes new ones.
    await objects.bucket(bucket).put('two', bytes, call);
    expect((await objects.bucket(bucket).info('two', call))?.bytes).toBe(1000);
    await bus.close();
    await objects.close();
    await server.stop();
    expect(stores()).toEqual([]);
    return { found: found.info, lines: lines.join('\n') };
  }

  test('comes back on its port with what it had stored', async () => {
    const { found, lines } = await survive((_, pid) => process.kill(pid, 'SIGKILL'));
    expect(found?.bytes).toBe(1000);
    expect(lines).toContain('nats-server died, starting it again how="nats-server ended with SIGK');
    expect(lines).toMatch(/nats-server at nats:\/\/127\.0\.0\.1:\d+ is back/);
    expect(lines).not.toContain('empty store');
  });

  test('comes back without its folder, when that is gone', async () => {
    const { found } = await survive((store, pid) => {
      rmSync(store, { recursive: true });
      process.kill(pid, 'SIGKILL');
    });
    expect(found).toBeNull();
  });

  test('comes back with an empty store, when it cannot read the old one', async () => {
    const { found, lines } = await survive((store, pid) => {
      process.kill(pid, 'SIGKILL');
      rmSync(join(store, 'jetstream'), { recursive: true });
      writeFileSync(join(store, 'jetstream'), 'no folder');
    });
    expect(found).toBeNull();
    expect(lines).toContain('it goes on with an empty store');
  });

  test('does not go on in a folder that others could have put in the place of its own', async () => {
    const lines: string[] = [];
    const log = createLog({ level: 1, sink: (line) => lines.push(line), name: '' });
    const server = await start({ log, token: 'ab'.repeat(32) });
    const path = join(folder.path, stores()[0] ?? '');
    rmSync(path, { recursive: true });
    mkdirSync(path);
    chmodSync(path, 0o777);
    process.kill(server.pid, 'SIGKILL');
    expect(await server.ended).toContain(`cannot start nats-server in ${path}: others may write`);
    expect(lines.join('\n')).not.toContain('empty store');
    await server.stop();
  });

  test('that is asked to stop while it waits for its next life does not begin it', async () => {
    const clock = new ManualClock();
    const lines: string[] = [];
    const log = createLog({ level: 1, sink: (line) => lines.push(line), name: '' });
    const server = await start({ log, clock });
    process.kill(server.pid, 'SIGKILL');
    await until('its death to be noticed', () => lines.some((line) => line.includes('died')));
    await server.stop();
    expect(await server.ended).toContain('nats-server ended with SIGKILL');
    expect(lines.filter((line) => line.includes('Starting nats-server'))).toHaveLength(1);
    expect(stores()).toEqual([]);
  });
});

describe('a nats-server that dies again and again', () => {
  /** Lives of no process: each ends when the test says so. */
  function mortal(answer: (life: number) => Promise<number>) {
    const ends: ((how: string) => void)[] = [];
    const stopped: number[] = [];
    const launch = (): NatsLife => {
      const { promise, resolve } = Promise.withResolvers<string>();
      ends.push(resolve);
      const ready = answer(ends.length);
      ready.catch((fault: Error) => resolve(fault.message));
      const pid = ends.length;
      const stop = async (): Promise<void> => {
        stopped.push(pid);
        resolve('stopped');
      };
      return { pid, ready, ended: promise, stop };
    };
    return { ends, stopped, launch };
  }
  const step = () => new Promise((resolve) => setImmediate(resolve));

  test('is given up with its name, how often, its last words and the mend', async () => {
    const clock = new ManualClock();
    const { ends, launch } = mortal(async () => 4711);
    const server = await start({ clock, launch, log: silentLog });
    const asked: number[] = [];
    for (let life = 1; life <= quick.countMax; life++) {
      await until(`life ${life}`, () => ends.length === life);
      await step();
      ends[life - 1]?.('nats-server ended with exit code 1: [FTL] out of disk');
      if (life < quick.countMax) await until('its pause', () => clock.pendingCount === 1);
      asked.push(clock.nowMs());
      clock.advance(quick.pauseMaxMs);
    }
    expect(await server.ended).toMatch(
      /^nats-server at nats:\/\/127\.0\.0\.1:4711 ended 4 times within 1 s; the last time: nats-server ended with exit code 1: \[FTL\] out of disk; giving up: .*--no-initialize-request-plane$/,
    );
    expect(ends).toHaveLength(quick.countMax);
    expect(stores()).toEqual([]);
  });

  test('a taken port leaves its store alone, another failure empties it', async () => {
    const clock = new ManualClock();
    const port = new Fault('config', 'the port is taken', { reason: 'port' });
    const { ends, launch } = mortal(async (life) => {
      if (life === 2) throw port;
      if (life === 3) throw new Fault('config', 'bad store');
      return 4711;
    });
    const server = await start({ clock, launch });
    const jetStream = join(folder.path, stores()[0] ?? '', 'jetstream');
    mkdirSync(jetStream);
    const kept: boolean[] = [];
    ends[0]?.('killed');
    for (let life = 2; life <= 4; life++) {
      await until('its pause', () => clock.pendingCount === 1);
      kept.push(existsSync(jetStream));
      clock.advance(quick.pauseMaxMs);
      await until(`life ${life}`, () => ends.length === life);
    }
    expect(kept).toEqual([true, true, false]);
    await server.stop();
  });

  test('one whose token cannot be written ends, and leaves port and store to the next', async () => {
    const clock = new ManualClock();
    const { ends, stopped, launch } = mortal(async () => 4711);
    const server = await start({ clock, launch, token: 'ab'.repeat(32) });
    const path = join(folder.path, stores()[0] ?? '');
    mkdirSync(join(path, 'jetstream'));
    mkdirSync(join(path, 'token-4711.new')); // in the draft's place, as a full disk would be
    ends[0]?.('killed');
    await until('its pause', () => clock.pendingCount === 1);
    clock.advance(quick.pauseMaxMs);
    await until('the next pause', () => clock.pendingCount === 1 && ends.length === 2);
    expect([stopped, existsSync(join(path, 'jetstream'))]).toEqual([[2], true]);
    rmSync(join(path, 'token-4711.new'), { recursive: true });
    clock.advance(quick.pauseMaxMs);
    await until('the third life', () => ends.length === 3);
    await server.stop();
  });
});

describe('the token of a private nats-server', () => {
  const token = 'ab'.repeat(32);
  const addressOf = (text: string) => {
    const [uri] = parsePlaneUris(text);
    if (uri === undefined) throw new Error(text);
    return uri;
  };
  const tokenAt = (text: string) => localToken(addressOf(text), folder.path);

  test('is asked for, and found by whoever may read the store, at loopback alone', async () => {
    const server = await start({ token });
    const client = { name: 'test', log: silentLog };
    const stranger = openNatsBus({ ...client, uris: [server.uri] }); // looks in another folder
    const friend = openNatsBus({ ...client, uris: [server.uri.replace('//', `//${token}@`)] });
    await connected(friend);
    await until('the refusal', () => stranger.trouble()?.includes('authorization') === true);
    expect(tokenAt(server.uri)).toBe(token);
    expect(tokenAt(server.uri.replace('127.0.0.1', 'localhost'))).toBe(token);
    expect(tokenAt(server.uri.replace('127.0.0.1', '10.0.0.1'))).toBeNull();
    expect(tokenAt(server.uri.replace('//', '//mine@'))).toBeNull();
    expect(tokenAt('127.0.0.1:1')).toBeNull();
    const [store = ''] = stores().map((name) => join(folder.path, name));
    const names = readdirSync(store).filter((name) => name !== 'jetstream');
    const modes = [store, ...names.map((name) => join(store, name))].map(
      (path) => statSync(path).mode & 0o777,
    );
    expect(names.sort()).toEqual(['nats.conf', `token-${server.port}`]);
    expect(modes).toEqual([0o700, 0o600, 0o600]);
    expect(readFileSync(`/proc/${server.pid}/cmdline`, 'utf8')).not.toContain(token);
    expect(readFileSync(`/proc/${server.pid}/environ`, 'utf8')).not.toContain(token);
    await stranger.close();
    await friend.close();
    await server.stop();
    expect(tokenAt(server.uri)).toBeNull();
  });

  test('credentials of the address go before it', async () => {
    const server = await start({ uri: 'nats://mine@127.0.0.1:0', token });
    expect(tokenAt(server.uri)).toBeNull();
    const bus = openNatsBus({
      uris: [server.uri.replace('//', '//mine@')],
      name: 'test',
      log: silentLog,
    });
    await connected(bus);
    await bus.close();
    await server.stop();
  });

  test('what others could have put there is not believed', async () => {
    const server = await start({ token });
    const [store = ''] = stores().map((name) => join(folder.path, name));
    const path = join(store, `token-${server.port}`);
    chmodSync(path, 0o644);
    expect(tokenAt(server.uri)).toBeNull();
    chmodSync(path, 0o600);
    expect(tokenAt(server.uri)).toBe(token);
    chmodSync(store, 0o755);
    expect(tokenAt(server.uri)).toBeNull();
    chmodSync(store, 0o700);
    renameSync(path, join(folder.path, 'moved'));
    symlinkSync(join(folder.path, 'moved'), path);
    expect(tokenAt(server.uri)).toBeNull();
    rmSync(path);
    renameSync(join(folder.path, 'moved'), path);
    if (process.getuid?.() === 0) {
      chownSync(store, 65_534, 65_534);
      expect(tokenAt(server.uri)).toBeNull();
      chownSync(store, 0, 0);
      chownSync(path, 65_534, 65_534);
      expect(tokenAt(server.uri)).toBeNull();
      chownSync(path, 0, 0);
    }
    expect(tokenAt(server.uri)).toBe(token);
    await server.stop();
  });
});
