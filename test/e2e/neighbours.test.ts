// Two users on one host: what the one's deployment keeps is out of the other's reach, and where they do
// work together, they share no memory. Needs root, to be two users; CI is.

import { beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, chownSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { shmFolder } from '../../src/kv/arena.ts';
import { ask, question } from './chat.ts';
import { freePlane, planeAddress, startAll, startApi } from './deployment.ts';
import { storesIn } from './leftover.ts';
import type { Program } from './program.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const otherUser = 65_534;
const as = ['setpriv', `--reuid=${otherUser}`, `--regid=${otherUser}`, '--clear-groups', '--'];
const canBeOther = process.getuid?.() === 0 && Bun.which('setpriv') !== null;
const own = world.path('other');

/** The executable as another user, who looks for things in the same temporary folder. */
function startAsOther(args: readonly string[]): Program {
  const env = { ...world.env, HOME: own, XDG_CACHE_HOME: own };
  return world.spawn([...as, world.executable, ...args], env);
}

describe.skipIf(!canBeOther)('another user of this host', () => {
  beforeAll(() => {
    chmodSync(world.folder, 0o755);
    mkdirSync(own);
    chownSync(own, otherUser, otherUser);
  });

  test('is not let in by the nats-server of --role all, and can read nothing of it', async () => {
    await using all = await startAll(world);
    const plane = await planeAddress(all.program);
    const other = startAsOther(['doctor', `--request-plane-uri=${plane}`, '--json']);
    const { stdout } = await other.exit();
    expect(stdout.join('\n')).toContain('authorization violation');
    const [store = ''] = storesIn(world.path('tmp'));
    for (const path of [store, ...world.arenas()]) {
      expect(statSync(path).mode & 0o077).toBe(0);
      const read = await world
        .spawn([...as, 'cat', path, join(path, 'nats.conf')], world.env)
        .exit();
      expect(read.stderr.join('\n')).toContain('Permission denied');
    }
    expect(world.arenas().length).toBeGreaterThan(0);
    expect((await all.program.stop()).code).toBe(0);
  });

  test('joins by a plain address; KV between the two goes through the object store', async () => {
    const plane = await freePlane();
    const flag = `--request-plane-uri=${plane}`;
    await using context = world.start(['--role=context', '--initialize-request-plane', flag]);
    await using generate = startAsOther(['--role=generate', flag]);
    await generate.line('Worker started...');
    await context.line('Worker started...');
    expect(world.arenas().every((path) => path.startsWith(shmFolder))).toBeTrue();
    await using api = await startApi(world, plane);
    const headers = { 'x-tdist-timing': '1' };
    const peru = question('What is the capital of Peru?');
    await until('an answer of both', async () => {
      const { response, body } = await ask(api.url, peru, { headers });
      if (response.status !== 200) return false;
      expect(body.choices[0]?.message.content).toBe('The capital of Peru is Lima.');
      expect(body.usage.tdist?.kv_path).not.toBe('shm');
      return body.usage.tdist?.kv_path === 'object';
    });
    expect((await generate.stop()).code).toBe(0);
  });
});

testNothingLeft(world);
