// Cached prefixes as the gateway sees them: the bounded index, a prompt's keys, what an island shares.

import { describe, expect, test } from 'bun:test';
import { prefixHashes } from '../../src/kv/prefix.ts';
import { cachedOf, islandsOf } from '../../src/plane/island.ts';
import { PrefixIndex } from '../../src/plane/prefix-index.ts';
import { PromptKeys } from '../../src/plane/prompt-keys.ts';
import { Registry } from '../../src/plane/registry.ts';
import { limit } from '../../src/protocol/limit.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { seededChance } from '../../src/std/prng.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { card, heartbeat, load, promptOf } from './make.ts';

function logged() {
  const lines: string[] = [];
  return { lines, log: createLog({ level: 1, sink: (line) => lines.push(line), name: '' }) };
}

const keysFrom = (first: number, count: number) =>
  Array.from({ length: count }, (_, at) => (first + at).toString(16).padStart(16, '0'));

describe('index', () => {
  test('a worker’s keys are what it told last', () => {
    const index = new PrefixIndex({ log: logged().log, keyCountMax: 100 });
    index.set('a', keysFrom(0, 3));
    index.set('b', keysFrom(2, 2));
    expect(index.size).toBe(5);
    const before = index.keysOf('a');
    index.set('a', keysFrom(0, 3).reverse());
    expect(index.keysOf('a')).toBe(before); // the same ones: nothing was built anew
    index.set('a', keysFrom(1, 1));
    expect([...index.keysOf('a')]).toEqual(keysFrom(1, 1));
    expect(index.size).toBe(3);
    index.delete('a');
    index.delete('nobody');
    index.set('b', []);
    expect([index.size, index.keysOf('a').size]).toEqual([0, 0]);
  });

  test('full: the last one has what room is left, the latest used first; one warning', () => {
    const { lines, log } = logged();
    const index = new PrefixIndex({ log, keyCountMax: 10 });
    index.set('a', keysFrom(0, 7));
    index.set('b', keysFrom(20, 7));
    index.set('c', keysFrom(40, 7));
    expect([...index.keysOf('b')]).toEqual(keysFrom(20, 3));
    expect(index.keysOf('c').size).toBe(0);
    expect(lines.length).toBe(1);
    expect(lines[0]).toContain('more than 10 cached blocks');
    index.delete('a');
    index.set('c', keysFrom(40, 7));
    expect(index.keysOf('c').size).toBe(7);
  });

  test('seeded: never above its bound, size always the sum', () => {
    const chance = seededChance(11);
    const index = new PrefixIndex({ log: logged().log, keyCountMax: 200 });
    const names = Array.from({ length: 12 }, (_, at) => `w${at}`);
    for (let turn = 0; turn < 2000; turn++) {
      const name = names[chance.u32() % names.length] ?? '';
      if (chance.u32() % 5 === 0) index.delete(name);
      else index.set(name, keysFrom(chance.u32() % 1000, chance.u32() % 60));
      const sum = names.reduce((total, one) => total + index.keysOf(one).size, 0);
      expect(index.size).toBe(sum);
      expect(index.size).toBeLessThanOrEqual(200);
    }
  });

  test('the registry fills it, keeps heartbeats without keys, and empties it', () => {
    const clock = new ManualClock();
    const { log, lines } = logged();
    const registry = new Registry({ clock, log, presenceMs: 3500, prefixKeyCountMax: 5 });
    const beats: string[] = [];
    registry.onBeat((worker) => beats.push(worker));
    registry.observe(
      heartbeat('c', 'context', { load: load({ prefixKeys: [...keysFrom(0, 4)] }) }),
    );
    registry.observe(
      heartbeat('d', 'context', { load: load({ prefixKeys: [...keysFrom(9, 4)] }) }),
    );
    expect(registry.prefixes.size).toBe(5);
    expect(registry.workers().map((one) => one.load.prefixKeys)).toEqual([[], []]);
    expect(lines.filter((line) => line.includes('cached blocks')).length).toBe(1);
    registry.observe(heartbeat('c', 'context', { state: 'gone' }));
    clock.advance(4000);
    registry.expire();
    expect(registry.prefixes.size).toBe(0);
    expect(beats).toEqual(['c', 'd']);
    expect(registry.ageMs('c')).toBe(0);
  });

  test('all workers with full heartbeats fit below the bound of the index', () => {
    expect(limit.prefixKeyTotalMax).toBeGreaterThan(1000 * limit.prefixKeyMax);
  });
});

describe('keys of a prompt', () => {
  test.each([
    [1, 0],
    [63, 0],
    [64, 0], // the last token is never cached
    [65, 1],
    [128, 1],
    [129, 2],
  ])('%d tokens have %d', (tokens, count) => {
    const ids = promptOf(tokens);
    const keys = new PromptKeys(ids).of(card());
    const { modelDigest } = card();
    const hashes = prefixHashes(ids, { modelDigest, dtype: 'float32', blockTokens: 64 });
    expect(keys).toEqual(hashes.slice(0, count).map((hash) => hash.slice(0, 16)));
  });

  test('made once for each kind of worker; a card of nonsense has none', () => {
    const keys = new PromptKeys(promptOf(200));
    const blocks16 = card({ geometry: { ...card().geometry, blockTokens: 16 } });
    expect(keys.of(card())).toBe(keys.of(card()));
    expect(keys.of(blocks16).length).toBe(12);
    expect(keys.of(card({ kvDtype: 'int8' }))[0]).not.toBe(keys.of(card())[0]);
    const blocks0 = card({ geometry: { ...card().geometry, blockTokens: 0 } });
    expect(keys.of(blocks0)).toEqual([]);
  });
});

describe('an island', () => {
  const ids = promptOf(300);
  const keys = new PromptKeys(ids);
  const [k0 = '', k1 = '', k2 = '', k3 = ''] = keys.of(card());
  const cached = (told: Readonly<Record<string, readonly string[]>>) =>
    cachedOf(
      Object.keys(told).map((id) => heartbeat(id, 'context')),
      { keys, keysOf: (worker) => new Set(told[worker]) },
    );

  test('has what any member has, as a chain from the start', () => {
    expect(cached({ a: [k0], b: [k1, k3] }).tokens).toBe(128);
    expect(cached({ a: [k0, k1, k2, k3] }).tokens).toBe(256);
    expect(cached({ a: [k1, k2, k3] }).tokens).toBe(0);
    expect(cached({ a: [], b: [] }).tokens).toBe(0);
    const split = cached({ a: [k0], b: [k0, k1, k3] });
    expect([split.own('a'), split.own('b'), split.own('c')]).toEqual([64, 128, 0]);
  });

  test('hashes nothing where nobody has cached anything', () => {
    const lazy = new PromptKeys(ids);
    lazy.of = () => {
      throw new Error('hashed');
    };
    const island = [heartbeat('a', 'context')];
    expect(cachedOf(island, { keys: lazy, keysOf: () => new Set() }).tokens).toBe(0);
  });

  test('is one host, one model, one layout', () => {
    const workers = [
      heartbeat('a', 'context'),
      heartbeat('b', 'generate'),
      heartbeat('c', 'generate', { host: 'host-2' }),
      heartbeat('d', 'generate', { card: card({ kvDtype: 'int8' }) }),
    ];
    const names = islandsOf(workers).map((island) => island.map(({ worker }) => worker).join(''));
    expect(names).toEqual(['ab', 'c', 'd']);
  });
});
