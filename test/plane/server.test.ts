// The embedded nats-server: really started, reached, stopped; and what goes wrong at the start.

import { afterAll, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Bus } from '../../src/plane/bus.ts';
import { openNatsBus } from '../../src/plane/nats.ts';
import { findNatsServer } from '../../src/plane/nats-binary.ts';
import { sweepStores } from '../../src/plane/nats-store.ts';
import { startNatsServer } from '../../src/plane/server.ts';
import { Fault } from '../../src/std/fault.ts';
import { createLog, silentLog } from '../../src/telemetry/log.ts';
import { connected, guardSelf, startTestNats, temporaryFolder } from './nats-world.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());
const stores = () => readdirSync(folder.path).filter((name) => name.startsWith('tdist-nats-'));

function busOf(uri: string): Bus {
  return openNatsBus({ uris: [uri], name: 'test', log: silentLog });
}

describe('nats-server as a child', () => {
  test('starts with JetStream on a free port, leaves nothing behind', async () => {
    const server = await startTestNats(folder.path);
    expect(stores().length).toBe(1);
    expect(readFileSync(`/proc/${server.pid}/comm`, 'utf8').trim()).toBe('nats-server');
    const bus = busOf(server.uri);
    await connected(bus);
    expect(bus.maxPayloadBytes).toBe(8 * 1024 * 1024);
    const reply = await bus.request('$JS.API.INFO', new Uint8Array(), { timeoutMs: 5000 });
    expect(new TextDecoder().decode(reply)).toContain('account_info_response');
    await bus.close();
    await server.stop();
    expect(await server.ended).toContain('nats-server ended');
    expect(existsSync(`/proc/${server.pid}`)).toBeFalse();
    expect(stores()).toEqual([]);
  });

  test('user and password, or token, of the address are asked for', async () => {
    for (const secret of ['me:p%40"$s', 't0ken']) {
      const server = await startTestNats(folder.path, `nats://${secret}@127.0.0.1:0`);
      const config = join(folder.path, stores()[0] ?? '', 'nats.conf');
      expect(Bun.file(config).size).toBeGreaterThan(0);
      const lines: string[] = [];
      const log = createLog({ level: 1, sink: (line) => lines.push(line), name: '' });
      const good = busOf(server.uri.replace('//', `//${secret}@`));
      await connected(good);
      const bad = openNatsBus({ uris: [server.uri], name: 'test', log });
      await new Promise<void>((resolve) => {
        bad.onTrouble((trouble) => trouble?.includes('authorization') && resolve());
      });
      expect(bad.trouble()).toContain('authorization violation: the server wants credentials');
      expect(lines.join('\n')).not.toContain('t0ken');
      await good.close();
      await bad.close();
      await server.stop();
    }
  });

  test('a taken port is one clear line', async () => {
    const server = await startTestNats(folder.path);
    const error = await startTestNats(folder.path, server.uri).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Fault);
    expect(error).toMatchObject({ code: 'config' });
    expect(String(error)).toContain('the port is taken; leave out --initialize-request-plane');
    // Under --role all nobody has given that flag, and it says what to do instead.
    const options = { uri: server.uri, log: silentLog, cacheDir: folder.path, self: guardSelf };
    const joining = 'add a flag';
    const starting = startNatsServer({ ...options, storeRoot: folder.path, joining });
    await expect(starting).rejects.toThrow('the port is taken; add a flag');
    await server.stop();
    expect(stores()).toEqual([]);
  });

  test('an address of another machine, TLS, two addresses: each its own line', async () => {
    const start = (uri: string) => startTestNats(folder.path, uri);
    await expect(start('nats://192.0.2.1:0')).rejects.toThrow('not on this machine');
    await expect(start('tls://localhost:0')).rejects.toThrow('no certificate');
    await expect(start('nats://a:0,nats://b:0')).rejects.toThrow('exactly one');
    expect(stores()).toEqual([]);
  });

  test('kill -9 of the owner takes the server along; the next start sweeps its folder', async () => {
    const owner = Bun.spawn([...guardSelf, folder.path], {
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'inherit',
    });
    const { value } = await owner.stdout.getReader().read();
    const [pid, port] = new TextDecoder().decode(value).trim().split(' ').map(Number);
    const socket = connect({ host: '127.0.0.1', port: port ?? 0 });
    await new Promise((resolve) => socket.once('data', resolve));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    owner.kill('SIGKILL');
    await owner.exited;
    await closed; // the kernel closes a killed process's sockets
    // Its sockets close a little before it is gone (or a zombie that nobody reaps here). No end to
    // this loop but the test's own time limit.
    while (!isOver(pid ?? 0)) await new Promise((resolve) => setImmediate(resolve));
    expect(stores().length).toBe(1);
    sweepStores(folder.path);
    expect(stores()).toEqual([]);
  });

  test('folders of living owners and of strangers stay', () => {
    const start = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ')[19];
    const names = [`tdist-nats-${process.pid}-${start}-77`, 'tdist-nats-x', 'other'];
    for (const name of names) mkdirSync(join(folder.path, name), { recursive: true });
    mkdirSync(join(folder.path, `tdist-nats-${process.pid}-1-0`)); // a reused process id
    sweepStores(folder.path);
    const left = readdirSync(folder.path);
    for (const name of names) expect(left).toContain(name);
    expect(left).not.toContain(`tdist-nats-${process.pid}-1-0`);
  });
});

function isOver(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return true;
  }
}

describe('finding nats-server', () => {
  const cacheDir = join(folder.path, 'cache');
  test('a named one that is not there: one line that names it', async () => {
    const nothing = { embedded: null, cacheDir, environment: { TDIST_NATS_SERVER: '/no/such' } };
    await expect(findNatsServer(nothing)).rejects.toThrow('/no/such is no executable file');
  });

  test('the embedded one is written once, under its digest', async () => {
    const embedded = join(folder.path, 'embedded');
    writeFileSync(embedded, '#!/bin/sh\n');
    const search = { embedded, cacheDir, environment: {} };
    const path = await findNatsServer(search);
    expect(path).toMatch(/nats-server-[0-9a-f]{16}$/);
    chmodSync(path, 0o744);
    expect(await findNatsServer(search)).toBe(path);
    expect(readdirSync(cacheDir).length).toBe(1);
  });

  test('TDIST_NATS_SERVER, then PATH', async () => {
    const bin = join(folder.path, 'bin');
    mkdirSync(bin);
    const program = join(bin, 'nats-server');
    writeFileSync(program, '');
    chmodSync(program, 0o755);
    const environment = { PATH: `/nowhere:${bin}` };
    expect(await findNatsServer({ embedded: null, cacheDir, environment })).toBe(program);
    const named = { TDIST_NATS_SERVER: program, PATH: '' };
    expect(await findNatsServer({ embedded: null, cacheDir, environment: named })).toBe(program);
  });
});
