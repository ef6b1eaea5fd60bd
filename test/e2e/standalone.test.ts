// The executable by itself: alone in an empty folder, without an environment to speak of.

import { describe, expect, test } from 'bun:test';
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { markName } from './leftover.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();

/** Just what `env -i HOME=… PATH=…` gives; the mark is for our own look-out. */
const bare = { HOME: world.path('home'), PATH: '/usr/bin:/bin', [markName]: world.mark };

describe('./tdist alone in a folder', () => {
  const folder = world.path('alone');
  mkdirSync(folder);
  copyFileSync(world.executable, join(folder, 'tdist'));
  const run = async (...args: readonly string[]) => {
    await using program = world.spawn([join(folder, 'tdist'), ...args], bare, folder);
    return await program.exit();
  };

  test('demo: the answer, who served it, what it took; the last line is JSON', async () => {
    const { code, stdout, stderr } = await run('demo');
    expect({ code, stderr }).toEqual({ code: 0, stderr: [] });
    expect(stdout).toContain('> What is the capital of France?');
    expect(stdout).toContain('The capital of France is Paris.');
    expect(stdout).toContain('OK');
    const last: object = JSON.parse(stdout.at(-1) ?? '');
    expect(last).toMatchObject({
      ok: true,
      text: 'The capital of France is Paris.',
      route: 'disaggregated',
      kv_path: 'shm',
    });
    expect(readdirSync(folder)).toEqual(['tdist']);
  });

  test('demo leaves nothing', async () => {
    expect((await world.run(['demo'])).code).toBe(0);
    expect(world.leftovers()).toEqual([]);
  });

  test('version and help', async () => {
    for (const args of [['version'], ['--version'], ['--help'], ['--role=api', '--help']]) {
      const { code, stdout, stderr } = await run(...args);
      expect([args, code, stderr]).toEqual([args, 0, []]);
      expect(stdout[0]).toMatch(/tdist/);
    }
  });

  test('a .env and a bunfig.toml beside it change nothing', async () => {
    await Bun.write(join(folder, '.env'), 'TDIST_API_SERVER_PORT=nonsense\n');
    await Bun.write(join(folder, 'bunfig.toml'), 'preload = ["./missing.ts"]\n');
    const { code, stdout, stderr } = await run('--role=api', '--dump-config');
    expect({ code, stderr }).toEqual({ code: 0, stderr: [] });
    expect(JSON.parse(stdout.join('\n'))).toMatchObject({ role: 'api', port: 8005 });
  });
});

testNothingLeft(world);
