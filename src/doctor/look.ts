// Looks at the real machine for the checks: /proc, /dev/shm, ports, a server's greeting. Says what is
// there, judges nothing, and leaves nothing.

import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve as resolvePath } from 'node:path';
import * as v from 'valibot';
import { shmFolder } from '../kv/arena.ts';
import type { PlaneUri } from '../plane/uri.ts';
import { type Clock, withDeadline } from '../std/clock.ts';
import type { CacheFacts, CpuFacts, PortState, ShmFacts } from './host-check.ts';

const answerMs = 2000;

export function lookAtCpu(): CpuFacts {
  const flags = /^flags\s*:\s*(.*)$/m.exec(textOf('/proc/cpuinfo'))?.[1] ?? '';
  return { flags: flags.split(/\s+/), coreCount: availableParallelism() };
}

export function lookAtShm(): ShmFacts {
  const path = `${shmFolder}/.tdist-doctor-${process.pid}`;
  try {
    const fd = openSync(path, 'wx', 0o600);
    try {
      writeSync(fd, new Uint8Array(4096));
    } finally {
      closeSync(fd);
      rmSync(path, { force: true });
    }
    const { blocks, bavail, bsize } = statfsSync(shmFolder);
    const mount = textOf('/proc/self/mounts')
      .split('\n')
      .findLast((line) => line.split(' ')[1] === shmFolder);
    const options = mount?.split(' ')[3] ?? '';
    return { totalBytes: blocks * bsize, freeBytes: bavail * bsize, options };
  } catch (thrown) {
    return { error: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}

export function lookAtCache(path: string): CacheFacts {
  const { bavail, bsize } = statfsSync(path);
  return { path, freeBytes: bavail * bsize };
}

/** Why nothing can be made in a folder, as a code; null: something can. */
export type Folder = { readonly error: string | null };

/** Makes a folder for a moment, there or where the path would begin. */
export function lookAtFolder(path: string): Folder {
  let there = resolvePath(path);
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there);
  try {
    rmdirSync(mkdtempSync(join(there, '.tdist-doctor-')));
    return { error: null };
  } catch (thrown) {
    const hasCode = thrown instanceof Error && 'code' in thrown;
    return { error: hasCode ? String(thrown.code) : 'error' };
  }
}

/** Binds it for a moment. */
export function lookAtPort(host: string, port: number): Promise<PortState> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(portStates[error.code ?? ''] ?? 'unknown'),
    );
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve('free')));
  });
}

const portStates: Readonly<Record<string, PortState>> = {
  EADDRINUSE: 'taken',
  EADDRNOTAVAIL: 'absent',
  ENOTFOUND: 'absent',
  EACCES: 'denied',
};

/** `name (pid 12)` of who listens on that port, or null where this user may not see it. */
export function holderOf(port: number): string | null {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  const inodes = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) =>
    textOf(path)
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((field) => field[1]?.endsWith(`:${wanted}`) === true && field[3] === '0A') // LISTEN
      .map((field) => `socket:[${field[9]}]`),
  );
  const pid = readdirSync('/proc').find(
    (name) => /^\d+$/.test(name) && inodes.some((inode) => linksOf(name).includes(inode)),
  );
  return pid === undefined ? null : `${textOf(`/proc/${pid}/comm`).trim()} (pid ${pid})`;
}

function linksOf(pid: string): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
  } catch {
    return []; // another user's, or it has just ended
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

const versionSchema = v.looseObject({ version: v.string() });

/** `gateway 1.2.3` where a gateway of tdist answers at that port; null for all else. */
export async function gatewayAt(host: string, port: number): Promise<string | null> {
  const text = await fetchText(host, port, '/version');
  try {
    const answer = v.safeParse(versionSchema, JSON.parse(text));
    return answer.success ? `gateway ${answer.output.version}` : null;
  } catch {
    return null; // no JSON: not ours
  }
}

/** `worker` where a worker of tdist shows its metrics at that port; null for all else. */
export async function workerAt(host: string, port: number): Promise<string | null> {
  return /^tdist_/m.test(await fetchText(host, port, '/metrics')) ? 'worker' : null;
}

async function fetchText(host: string, port: number, path: string): Promise<string> {
  const target = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[host] ?? host;
  try {
    const signal = AbortSignal.timeout(answerMs);
    return await (await fetch(`http://${target}:${port}${path}`, { signal })).text();
  } catch {
    return ''; // nobody, or nobody who speaks HTTP
  }
}

/** The version with which a nats-server greets, before any credentials. */
export async function natsVersionAt(uri: PlaneUri, clock: Clock): Promise<string | null> {
  const socket = connect({ host: uri.host, port: uri.port });
  try {
    const greeting = new Promise<string | null>((resolve) => {
      let text = '';
      socket.on('data', (data) => {
        text += data.toString('latin1');
        if (text.includes('\n')) resolve(/^INFO .*"version":"([^"]*)"/.exec(text)?.[1] ?? null);
      });
      socket.once('error', () => resolve(null));
      socket.once('close', () => resolve(null));
    });
    return await withDeadline(clock, answerMs, greeting, () => new Error('no greeting'));
  } catch {
    return null;
  } finally {
    socket.destroy();
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // not this kind of system, or not ours to read
  }
}
