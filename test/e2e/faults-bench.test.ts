// The faults' benchmark, its short version: under load, with processes killed, stopped and restarted and
// clients that leave, every answer is the undisturbed one or an error by name, and nothing stays behind.

import { expect, test } from 'bun:test';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const kindCount = 8;

type Row = {
  readonly name: string;
  readonly injected: number;
  readonly requests: number;
  readonly identical: number;
  readonly named: Readonly<Record<string, number>>;
  readonly lost: readonly string[];
  readonly leaked: readonly string[];
  readonly paths: Readonly<Record<string, number>>;
};

test('one fault of each kind: nothing lost, nothing leaked', async () => {
  const program = world.start(['bench', 'faults', '--quick']);
  let seen = 0;
  for (let kind = 0; kind < kindCount; kind++) {
    const line = await program.line(/^done: /, seen);
    seen = program.lines().indexOf(line) + 1;
  }
  const { code, stdout } = await program.exit();
  const { rows } = JSON.parse(stdout.at(-1) ?? '') as { readonly rows: readonly Row[] };
  expect(rows.flatMap(({ lost }) => lost)).toEqual([]);
  expect(rows.flatMap(({ leaked }) => leaked)).toEqual([]);
  const all = rows.at(-1);
  expect(all?.injected).toBe(kindCount);
  const named = Object.values(all?.named ?? {}).reduce((sum, count) => sum + count, 0);
  expect((all?.identical ?? 0) + named).toBe(all?.requests ?? -1);
  // All kinds had a load beside them, and KV travelled both ways.
  for (const { injected, requests } of rows) if (injected > 0) expect(requests).toBeGreaterThan(0);
  expect(Object.keys(all?.paths ?? {})).toEqual(expect.arrayContaining(['shm', 'object']));
  expect(code).toBe(0);
}, 400_000);

testNothingLeft(world);
