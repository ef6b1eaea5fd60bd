// A prefix cache asked for what lies behind rows that came another way: it must not touch those, least
// of all with a block that turns out damaged.

import { expect, test } from 'bun:test';
import { blockBegin } from '../../src/kv/arena.ts';
import { blockHeaderBytes } from '../../src/kv/block.ts';
import { CacheWorld } from './cache-world.ts';
import { fillRows, geometry, kv, promptOf, readRows } from './pool-rows.ts';

test('rows before `from` stay, whatever the cache has for them', () => {
  const world = new CacheWorld({ kind: 'restore behind' });
  try {
    const { blockTokens } = geometry;
    const ids = promptOf(blockTokens * 3 + 5);
    world.keep(ids);
    const first = world.own.store.find(kv.hashes(ids, undefined)[0] ?? '');
    const { view } = world.own.arena;
    const at = blockBegin(view, first?.index ?? -1) + blockHeaderBytes;
    view.bytes[at] = (view.bytes[at] ?? 0) ^ 1;
    fillRows(world.pool, 1, blockTokens, 5000);
    const before = readRows(world.pool, 1, blockTokens);
    expect(world.cache.restore({ ids, slot: 1, from: blockTokens })).toBe(3 * blockTokens);
    expect(readRows(world.pool, 1, blockTokens)).toEqual(before);
    // From the beginning nothing of it is of use.
    expect(world.cache.restore({ ids, slot: 1, from: 0 })).toBe(0);
  } finally {
    world.close();
  }
});
