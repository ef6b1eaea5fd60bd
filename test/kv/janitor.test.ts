import { describe, expect, test } from 'bun:test';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Arena, shmFolder } from '../../src/kv/arena.ts';
import { sweepArenas } from '../../src/kv/janitor.ts';
import { lockFile } from '../../src/std/memory.ts';
import { realChance } from '../../src/std/prng.ts';
import { geometry, identity } from './pool-rows.ts';

const makeArena = (id: string, sizeBytes: number): Arena =>
  new Arena({ id, geometry, dtype: 'float32', sizeBytes, identity });

/** An arena in a process of its own, which has a child that outlives it. */
async function startOwner() {
  const script = join(import.meta.dir, 'owner-main.ts');
  const owner = Bun.spawn([process.execPath, script, `test-${realChance.id()}`], {
    stdin: 'pipe',
    stderr: 'inherit',
  });
  const { value } = await owner.stdout.getReader().read();
  const said: unknown = JSON.parse(new TextDecoder().decode(value));
  if (typeof said !== 'object' || said === null) throw new Error('the owner did not start');
  if (!('name' in said && 'childPid' in said)) throw new Error('the owner did not start');
  return { owner, name: String(said.name), childPid: Number(said.childPid) };
}

describe('sweepArenas', () => {
  test('removes what a killed process left, not what a living one owns', async () => {
    const { owner, name, childPid } = await startOwner();
    const own = makeArena(`test-${realChance.id()}`, 1 << 20);
    try {
      expect(sweepArenas()).not.toContain(name);
      expect(existsSync(join(shmFolder, name))).toBeTrue();
      owner.kill('SIGKILL');
      await owner.exited;
      expect(existsSync(join(shmFolder, name))).toBeTrue(); // nobody could tidy up
      expect(sweepArenas()).toContain(name);
      expect(existsSync(join(shmFolder, name))).toBeFalse();
      expect(existsSync(join(shmFolder, own.name))).toBeTrue();
      expect(sweepArenas()).not.toContain(name);
    } finally {
      process.kill(childPid);
      own.close();
      rmSync(join(shmFolder, name), { force: true });
    }
  });

  test('leaves other files, folders and locked ones alone; a missing folder is fine', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tdist-janitor-'));
    for (const name of ['tdist-dead', 'tdist-held', 'other', 'xtdist-no']) {
      writeFileSync(join(folder, name), '');
    }
    mkdirSync(join(folder, 'tdist-folder'));
    const fd = openSync(join(folder, 'tdist-held'), 'r');
    lockFile(fd, 'wait');
    expect(sweepArenas(folder)).toEqual(['tdist-dead']);
    expect(readdirSync(folder).sort()).toEqual([
      'other',
      'tdist-folder',
      'tdist-held',
      'xtdist-no',
    ]);
    closeSync(fd);
    rmSync(folder, { recursive: true });
    expect(sweepArenas(folder)).toEqual([]);
  });

  test('never takes an arena that is just being made', async () => {
    // Janitors in another process sweep as fast as they can while arenas are made here.
    const script = join(import.meta.dir, 'sweep-main.ts');
    const janitor = Bun.spawn([process.execPath, script], { stdin: 'pipe', stderr: 'inherit' });
    await janitor.stdout.getReader().read(); // it has begun
    const id = `test-${realChance.id()}`;
    for (let i = 0; i < 300; i++) {
      const arena = makeArena(`${id}-${i}`, 1 << 18);
      expect(existsSync(join(shmFolder, arena.name))).toBeTrue();
      arena.close();
    }
    janitor.stdin.end();
    expect(await janitor.exited).toBe(0);
  });
});
