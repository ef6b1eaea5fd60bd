// The worker routes over HTTP, and the tool that uses them.

import { describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runWorkers } from '../../src/cli/workers.ts';
import type { Member } from '../../src/protocol/member.ts';
import type { Heartbeat } from '../../src/protocol/message.ts';
import { ManualClock, realClock } from '../../src/std/clock.ts';
import { Fault } from '../../src/std/fault.ts';
import { authority, certificate } from '../plane/certificate.ts';
import { heartbeat } from '../plane/make.ts';
import { temporaryFolder } from '../plane/nats-world.ts';
import { jsonOf, openWorld, type World } from './world.ts';

const kvBlocks = { free: 60, held: 1, leased: 2, cached: 1 };
const counters = { moves: 3, preemptions: 2, recomputes: {}, kvBlocks };
const idle = heartbeat('x', 'generate').load;

function member(id: string, change: Partial<Heartbeat> = {}): Member {
  const [role = 'generate'] = id.split('-');
  const named = role === 'context' ? role : 'generate';
  const sinceMs = realClock.nowMs() - 65_000;
  const beat = heartbeat(id, named, { pid: 42, jobs: 0, ...change });
  return { heartbeat: beat, sinceMs, heardMs: realClock.nowMs() };
}

const post = { method: 'POST' };

describe('GET /workers', () => {
  test('who is alive, what it does and how it is', async () => {
    const clock = new ManualClock();
    await using world = openWorld(undefined, { clock });
    const load = { ...idle, running: 1, waiting: 2, paused: 1, counters };
    const beat = heartbeat('context-1', 'context', { jobs: 3, load, pid: 42, upMs: 99_000 });
    world.cluster.workers = [{ heartbeat: beat, sinceMs: 0, heardMs: 59_000 }];
    clock.advance(60_000);
    expect(await jsonOf(await world.fetch('/workers'))).toEqual({
      object: 'list',
      data: [
        {
          id: 'context-1',
          object: 'worker',
          role: 'context',
          model: 'llama',
          state: 'ready',
          safe_to_stop: false,
          host: 'host-1',
          pid: 42,
          build: '0.1.0',
          load: { jobs: 3, running: 1, waiting: 2, paused: 1, slots: 8 },
          kv: { free_tokens: 1000, blocks: kvBlocks },
          counters: { slot_moves: 3, preemptions: 2 },
          up_ms: 100_000,
          since_ms: 60_000,
          last_heard_ms: 1000,
        },
      ],
    });
  });
});

describe('POST /workers/{id}/drain and /resume', () => {
  test('answer with the entry, however often', async () => {
    await using world = openWorld();
    world.cluster.workers = [member('generate-1'), member('generate-2')];
    for (const [action, state] of [
      ['drain', 'draining'],
      ['drain', 'draining'],
      ['resume', 'ready'],
      ['resume', 'ready'],
    ] as const) {
      const response = await world.fetch(`/workers/generate-1/${action}`, post);
      expect(response.status).toBe(200);
      const safe = state === 'draining';
      expect(await jsonOf(response)).toMatchObject({ id: 'generate-1', state, safe_to_stop: safe });
    }
  });

  test('unknown id, unknown action: 404 in the envelope', async () => {
    await using world = openWorld();
    world.cluster.workers = [member('generate-1')];
    for (const path of ['nobody/drain', 'generate-1/stop', 'generate-1', 'generate-1/drain/now']) {
      const response = await world.fetch(`/workers/${path}`, post);
      expect(response.status).toBe(404);
      expect((await jsonOf(response)).error).toMatchObject({
        type: 'invalid_request_error',
        code: 'not_found',
      });
    }
    expect((await world.fetch('/workers/generate-1/drain')).status).toBe(405);
  });

  test('a worker that cannot be told: its reason, 503', async () => {
    await using world = openWorld();
    world.cluster.control = () => Promise.reject(new Fault('no_worker', 'worker g is stopping'));
    const response = await world.fetch('/workers/g/resume', post);
    expect(response.status).toBe(503);
    expect((await jsonOf(response)).error.message).toBe('worker g is stopping');
  });

  test('not by the page of a foreign origin', async () => {
    await using world = openWorld();
    world.cluster.workers = [member('generate-1')];
    const by = (origin: string) =>
      world.fetch('/workers/generate-1/drain', { ...post, headers: { origin } });
    const refused = await by('https://evil.example');
    expect([refused.status, (await jsonOf(refused)).error.code]).toEqual([403, 'forbidden']);
    expect(world.cluster.workers[0]?.heartbeat.state).toBe('ready');
    expect((await by('http://localhost')).status).toBe(200);
  });
});

describe('tdist workers', () => {
  const run = async (world: World, words: string) => {
    let out = '';
    const print = (text: string) => {
      out += `${text}\n`;
    };
    const output = { out: print, err: print };
    const argv = words.split(' ').filter(Boolean);
    const env = { TDIST_API_URL: world.server.url };
    const code = await runWorkers(argv, output, env).catch((fault: Fault) => {
      out += fault.message;
      return fault.code;
    });
    return { code, out };
  };
  const open = () => {
    const world = openWorld();
    const load = { ...idle, running: 1, waiting: 2, paused: 1, counters };
    const workers = [
      member('context-ab1', { load, upMs: 99_000 }),
      member('generate-a1'),
      member('generate-a2'),
    ];
    world.cluster.workers = workers;
    return world;
  };

  test('list: a table', async () => {
    await using world = open();
    const { code, out } = await run(world, '');
    expect(code).toBe(0);
    expect(out.trimEnd().split('\n')).toEqual([
      'ID           ROLE      MODEL  STATE  RUNNING  WAITING  PAUSED  SLOTS  MOVES  KV                PID  UP',
      'context-ab1  context   llama  ready  1        2        1       8      3      4/64 blocks       42   99 s',
      'generate-a1  generate  llama  ready  0        0        0       8      -      1000 tokens free  42   65 s',
      'generate-a2  generate  llama  ready  0        0        0       8      -      1000 tokens free  42   65 s',
    ]);
    expect(JSON.parse((await run(world, 'list --json')).out)).toHaveLength(3);
  });

  test('drain and resume, by an unambiguous beginning of the id', async () => {
    await using world = open();
    const { code, out } = await run(world, 'drain context');
    expect([code, out.includes('draining')]).toEqual([0, true]);
    expect((await run(world, 'drain generate-a2 --wait')).out).toContain('drained, safe to stop');
    expect((await run(world, 'resume context-ab1')).out).toContain('ready');
    const several = await run(world, 'drain generate');
    expect(several.code).toBe('not_found');
    expect(several.out).toContain('generate-a1, generate-a2');
    expect((await run(world, 'drain x')).out).toContain('there are: context-ab1, generate-a1');
  });

  test('--wait: until it is safe, or clear that it will not be', async () => {
    await using world = open();
    const { cluster } = world;
    const drain = cluster.control.bind(cluster);
    const afterDrain = (change: () => void) => {
      cluster.control = async (worker, action) => {
        const answer = await drain(worker, action);
        change();
        return answer;
      };
    };
    const busy = { ...idle, running: 1 };
    const draining = { state: 'draining', load: busy } as const;
    cluster.workers = [member('generate-a1', { load: busy })];
    afterDrain(() => {
      cluster.workers = [member('generate-a1', { state: 'draining' })];
    });
    expect((await run(world, 'drain generate-a1 --wait')).code).toBe(0);
    cluster.workers = [member('generate-a1', draining)];
    afterDrain(() => {
      cluster.workers = [member('generate-a1')];
    });
    expect((await run(world, 'drain generate-a1 --wait')).out).toContain('somebody resumed it');
    cluster.workers = [member('generate-a1', draining)];
    afterDrain(() => {
      cluster.workers = [];
    });
    expect((await run(world, 'drain generate-a1 --wait')).out).toContain('left before');
  });

  test.each([
    ['drian x', 'unknown command drian; the nearest known one is drain'],
    ['drain', 'needs one ID'],
    ['drain a b', 'needs one ID'],
    ['list a', 'takes no ID'],
    ['list --wait', '--wait goes with'],
    ['stop x', 'unknown command stop; it knows '],
    ['--jsn', 'nearest known one is --json'],
    ['--bogus', 'unknown flag --bogus; it knows --api-url'],
    ['--api-url=ftp://x', 'wanted a URL'],
    ['--api-url', 'wanted a URL'],
  ])('%s: usage', async (words, part) => {
    await using world = open();
    const { code, out } = await run(world, words);
    expect([code, out.includes(part)]).toEqual(['usage', true]);
  });

  test('a certificate that nobody trusts is said to be one', async () => {
    const folder = temporaryFolder();
    const ca = authority('Test CA');
    const names = ['127.0.0.1'];
    for (const { pem, key } of [
      certificate({ name: 'one', names, signer: ca }), // its issuer is unknown
      ca, // signed by itself
    ]) {
      const files = { certFile: join(folder.path, 's.pem'), keyFile: join(folder.path, 's.key') };
      writeFileSync(files.certFile, pem);
      writeFileSync(files.keyFile, key);
      await using world = openWorld(undefined, { tls: files });
      const { code, out } = await run(world, '');
      expect(code).toBe('no_worker');
      expect(out).toContain('answers with a certificate that is not trusted');
      expect(out).toContain('NODE_EXTRA_CA_CERTS');
    }
    folder.remove();
  });

  test('help; nobody listens; somebody else listens', async () => {
    await using world = open();
    expect((await run(world, '--help')).out).toContain('TDIST_API_URL');
    const nobody = await run(world, '--api-url 127.0.0.1:1');
    expect(nobody.code).toBe('no_worker');
    expect(nobody.out).toContain('no gateway answers at http://127.0.0.1:1/workers');
    const other = Bun.serve({ port: 0, fetch: () => Response.json({ hello: 1 }) });
    expect((await run(world, `--api-url ${other.url.href}`)).out).toContain('not a gateway');
    await other.stop(true);
  });
});
