// No room in /dev/shm or in the cache folder, at the start and later: one line that says what is missing
// and the mend, or the same answers as before. Never a SIGBUS, never a process that hangs.

import { describe, expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { ask, question, stream } from './chat.ts';
import { childOf, deployment } from './deployment.ts';
import { fill, mountsRefusal, startWithin } from './mounts.ts';
import type { Exit } from './program.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const refusal = mountsRefusal();
const peru = question('What is the capital of Peru?');
const answer = 'The capital of Peru is Lima.';
const counting = question('Count from 1 to 25.');
const shm = '/dev/shm';
const allFlags = [
  '--role=all',
  '--request-plane-uri=localhost:0',
  '--api-server-port=0',
  '--local-prefill-tokens=0',
];

function expectOneLine({ code, stderr }: Exit, ...wanted: readonly string[]): void {
  expect([code, stderr]).toEqual([1, [expect.stringMatching(/^tdist: /)]]);
  for (const text of wanted) expect(stderr[0]).toContain(text);
}

async function routeOf(url: string): Promise<string | null> {
  const { response, body } = await ask(url, peru);
  expect(body.choices[0]?.message.content).toBe(answer);
  return response.headers.get('x-tdist-route');
}

describe.skipIf(refusal !== null)(
  `a full /dev/shm${refusal === null ? '' : ` (no: ${refusal})`}`,
  () => {
    test('at the start: what is missing, and the mend', async () => {
      const flags = ['--role=context', '--request-plane-uri=localhost:1'];
      await using given = startWithin(world, { folder: shm, kib: 32_768 }, [
        ...flags,
        '--kv-arena-bytes=64MiB',
      ]);
      expectOneLine(await given.exit(), shm, 'no room', '--kv-arena-bytes');
      await using ours = startWithin(world, { folder: shm, kib: 256 }, flags);
      expectOneLine(await ours.exit(), shm, 'enlarge /dev/shm');
    });

    test('later: answers as before; who is killed then comes back when there is room', async () => {
      const arena = ['--kv-arena-bytes=24MiB', '--max-model-len=1024'];
      const program = startWithin(world, { folder: shm, kib: 65_536 }, [...allFlags, ...arena]);
      await using all = await deployment(program, 'Ready: http://');
      const wanted = await stream(all.url, counting);
      const filler = fill(program.pid, shm);
      for (const body of [counting, { ...counting, cache_salt: 'anew' }]) {
        const { pieces, error } = await stream(all.url, body);
        expect([error, pieces]).toEqual([null, wanted.pieces]);
      }
      expect(await routeOf(all.url)).toBe('disaggregated');
      for (const role of ['context', 'generate']) {
        const before = program.lines().length;
        process.kill(await childOf(program, `--role=${role}`), 'SIGKILL');
        await program.line('Worker started...', before);
        await until(
          'a disaggregated answer',
          async () => (await routeOf(all.url)) === 'disaggregated',
        );
      }
      rmSync(filler);
      expect((await stream(all.url, counting)).pieces).toEqual([...wanted.pieces]);
      expect((await program.stop()).code).toBe(0);
    });
  },
);

describe.skipIf(refusal !== null)('a full cache folder', () => {
  const cache = world.path('cache');

  test.each([
    ['the graph', 1024, ['--role=generate'], 'graph', 'MiB are free'],
    ['ONNX Runtime', 32_768, ['--role=generate'], 'ONNX Runtime', 'ENOSPC'],
    ['nats-server', 1024, allFlags, 'nats-server', 'ENOSPC'],
  ])('no room for %s: the folder, and the mend', async (_name, kib, flags, what, why) => {
    await using program = startWithin(world, { folder: cache, kib }, flags);
    expectOneLine(await program.exit(), what, cache, why, 'XDG_CACHE_HOME');
  });
});

testNothingLeft(world);
