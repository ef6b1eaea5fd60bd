// Arenas that are not this user's alone: none of them is mapped, whatever stands in it. What belongs to
// another user can only be made by root; CI is.

import { afterAll, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Arena, arenaPrefix, blockKey, shmFolder } from '../../src/kv/arena.ts';
import { sweepArenas } from '../../src/kv/janitor.ts';
import { PeerArenas } from '../../src/kv/peers.ts';
import { isOwnArena, shmFiles } from '../../src/kv/shm-files.ts';
import { realChance } from '../../src/std/prng.ts';
import { arenaBytes, geometry, identity } from './pool-rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'tdist-foreign-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const hash = 'ab'.repeat(32);
const name = `${arenaPrefix}peer`;
const path = join(folder, name);
const isRoot = process.getuid?.() === 0;

/** A whole arena with one block to be found, as its user's worker leaves it. */
function putArena(): void {
  rmSync(path, { force: true, recursive: true });
  const id = `test-${realChance.id()}`;
  const arena = new Arena({
    id,
    geometry,
    dtype: 'float32',
    sizeBytes: arenaBytes(2),
    identity,
  });
  arena.announce(1, hash);
  copyFileSync(join(shmFolder, arena.name), path);
  chmodSync(path, 0o600);
  arena.close();
}

/** What opening it says; null: it was mapped. */
function refusal(): string | null {
  const peers = new PeerArenas({ identity, ownName: null, folder });
  try {
    peers.open(name);
    return null;
  } catch (thrown) {
    return String(thrown);
  } finally {
    peers.close();
  }
}

function isFound(): boolean {
  const peers = new PeerArenas({ identity, ownName: null, folder });
  try {
    peers.sweep();
    return peers.has(blockKey(hash));
  } finally {
    peers.close();
  }
}

describe('an arena is read', () => {
  test('when it is a plain file of our own, for nobody else', () => {
    putArena();
    expect([refusal(), isFound(), isOwnArena(path)]).toEqual([null, true, true]);
  });

  test.each([0o640, 0o620, 0o604, 0o602, 0o666])('not with mode %i', (mode) => {
    putArena();
    chmodSync(path, mode);
    expect(refusal()).toContain(`others have rights on it (mode ${mode.toString(8)})`);
    expect([isFound(), isOwnArena(path)]).toEqual([false, false]);
  });

  test('not through a link, to whatever it leads', () => {
    putArena();
    renameSync(path, join(folder, 'elsewhere'));
    symlinkSync(join(folder, 'elsewhere'), path);
    expect(refusal()).toContain('it is a symbolic link');
    expect([isFound(), isOwnArena(path)]).toEqual([false, false]);
  });

  test('not where a folder or a pipe lies in its place, which is not waited for either', () => {
    rmSync(path, { force: true });
    mkdirSync(path, { mode: 0o700 });
    expect(refusal()).toContain('it is not a plain file');
    rmSync(path, { recursive: true });
    expect(Bun.spawnSync(['mkfifo', '-m', '600', path]).exitCode).toBe(0);
    expect(refusal()).toContain('it is not a plain file');
    expect(isFound()).toBeFalse();
    sweepArenas(folder); // would wait for a writer for ever
    rmSync(path, { force: true });
  });

  test.skipIf(!isRoot)('not of another user, though we could read it', () => {
    putArena();
    chownSync(path, 65_534, 65_534);
    expect(refusal()).toContain('it belongs to user 65534, and we are user 0');
    expect(refusal()).toContain('start them as one');
    expect([isFound(), isOwnArena(path)]).toEqual([false, false]);
  });

  test.skipIf(!isRoot)('a link of another user is not followed by the janitor', () => {
    const target = join(folder, 'precious');
    putArena();
    renameSync(path, target);
    symlinkSync(target, path);
    expect(sweepArenas(folder)).toEqual([]);
    expect(statSync(target).isFile()).toBeTrue();
    rmSync(path);
  });
});

test('what we make has no rights for others, whatever the umask', () => {
  const before = process.umask(0);
  try {
    const own = `test-${realChance.id()}`;
    const file = shmFiles(folder).create(own, 4096);
    expect(statSync(join(folder, own)).mode & 0o777).toBe(0o600);
    file.close();
  } finally {
    process.umask(before);
  }
});
