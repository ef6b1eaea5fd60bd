// Finding cached blocks in the arenas of other workers, dead and living, whole and half made.

import { afterEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Arena, arenaPrefix, blockBegin, readArena } from '../../src/kv/arena.ts';
import { readBlock } from '../../src/kv/block-io.ts';
import { sweepArenas } from '../../src/kv/janitor.ts';
import { PeerArenas } from '../../src/kv/peers.ts';
import { KvPool } from '../../src/kv/pool.ts';
import { kvDtypes } from '../../src/protocol/kv-size.ts';
import { Fault } from '../../src/std/fault.ts';
import { checksum } from '../../src/std/hash.ts';
import { mapAnonymousMemory, unmap, viewBytes } from '../../src/std/memory.ts';
import { realChance, seededChance } from '../../src/std/prng.ts';
import { CacheWorld } from './cache-world.ts';
import {
  arenaBytes,
  capacity,
  fillRows,
  geometry,
  identity,
  kv,
  promptOf,
  readRows,
} from './pool-rows.ts';

const dtype = 'float32';

/** Indexes of the blocks of that key. */
function found(peers: PeerArenas, key: bigint): number[] {
  return [...peers.find(key)].map(({ index }) => index);
}

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function make(options: ConstructorParameters<typeof CacheWorld>[0]): CacheWorld {
  const world = new CacheWorld(options);
  closers.push(() => world.close());
  return world;
}

/** test/kv/find-main.ts with its one line of input. */
function startOther(what: 'find' | 'keep', request: { kind: string; ids: number[] }) {
  const script = join(import.meta.dir, 'find-main.ts');
  const other = Bun.spawn([process.execPath, script, what], { stdin: 'pipe', stderr: 'inherit' });
  other.stdin.write(JSON.stringify({ salt: 3000, ...request }));
  if (what === 'find') other.stdin.end();
  else other.stdin.flush();
  const reader = other.stdout.getReader();
  return {
    other,
    async said(): Promise<unknown> {
      const { value } = await reader.read();
      return JSON.parse(new TextDecoder().decode(value));
    },
  };
}

/** How often this process has the arena mapped. */
function mappingsOf(arena: string): number {
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return maps.filter((line) => line.includes(arena)).length;
}

describe('two processes', () => {
  test('what one leaves the other finds, to the bit, until it is evicted', async () => {
    const kind = realChance.id();
    const world = make({ kind, blocks: 3 });
    const ids = promptOf(200);
    world.keep(ids);
    const sum = checksum(new Uint8Array(readRows(world.pool, 0, 192).buffer));
    const first = startOther('find', { kind, ids });
    expect(await first.said()).toEqual({ known: 192, sum });
    expect(await first.other.exited).toBe(0);
    world.keep(promptOf(64, 8)); // evicts the tail
    const second = startOther('find', { kind, ids });
    expect(await second.said()).toMatchObject({ known: 128 });
    expect(await second.other.exited).toBe(0);
  });

  test('an owner that dies: its blocks serve until the janitor came, then it is let go of', async () => {
    const kind = realChance.id();
    const ids = promptOf(200);
    const { other, said } = startOther('keep', { kind, ids });
    const answer = await said();
    const name =
      typeof answer === 'object' && answer !== null && 'arena' in answer
        ? String(answer.arena)
        : 'none';
    const world = make({ kind });
    world.peers.sweep();
    expect(world.restore(ids)).toBe(192);
    fillRows(world.pool, 0, 192, 3000);
    expect(readRows(world.pool, 1, 192)).toEqual(readRows(world.pool, 0, 192));
    expect(mappingsOf(name)).toBe(1);
    other.kill('SIGKILL');
    await other.exited;
    expect(world.restore(ids)).toBe(192); // what it wrote is whole
    expect(sweepArenas()).toContain(name);
    world.peers.sweep();
    expect(mappingsOf(name)).toBe(0);
    expect(world.restore(ids)).toBe(0);
  });
});

describe('a reader and an owner that reuses its blocks all the time', () => {
  test('what is found is right to the last bit, however often it is found', async () => {
    const kind = realChance.id();
    const prompts = Array.from({ length: 6 }, (_, salt) => promptOf(65, salt));
    const script = join(import.meta.dir, 'churn-main.ts');
    const other = Bun.spawn([process.execPath, script], { stdin: 'pipe', stderr: 'inherit' });
    other.stdin.write(JSON.stringify({ kind, prompts }));
    other.stdin.flush();
    await other.stdout.getReader().read();
    const world = make({ kind });
    world.peers.sweep();
    const wanted = prompts.map((_, salt) => {
      fillRows(world.pool, 0, 64, 1000 * salt);
      return checksum(new Uint8Array(readRows(world.pool, 0, 64).buffer));
    });
    let [found, missed] = [0, 0];
    for (let i = 0; found < 300 && i < 200_000; i++) {
      const ids = prompts[i % prompts.length] ?? [];
      if (world.cache.restore({ ids, slot: 1, from: 0 }) === 0) {
        missed++;
        continue;
      }
      found++;
      const sum = checksum(new Uint8Array(readRows(world.pool, 1, 64).buffer));
      expect(sum).toBe(wanted[i % prompts.length] ?? '');
    }
    expect(found).toBe(300);
    expect(missed).toBeGreaterThan(0);
    other.stdin.end();
    expect(await other.exited).toBe(0);
  }, 60_000);
});

describe('who shares', () => {
  test('nobody of another namespace, model or geometry', () => {
    const kind = realChance.id();
    const ids = promptOf(200);
    const world = make({ kind });
    world.keep(ids);
    const stranger = make({ kind: realChance.id() });
    stranger.peers.sweep();
    expect(mappingsOf(world.own.arena.name)).toBeGreaterThan(1); // it was looked at
    expect(stranger.restore(ids)).toBe(0);
    // Even where identities collided, blocks of another model have other names.
    const other = make({ kind, modelDigest: 'cd'.repeat(32) });
    other.peers.sweep();
    expect(other.restore(ids)).toBe(0);
    const friend = make({ kind });
    friend.peers.sweep();
    expect(friend.restore(ids)).toBe(192);
  });

  test('who comes later is found at the next sweep, and itself never', () => {
    const kind = realChance.id();
    const [early, ids] = [make({ kind }), promptOf(100)];
    early.peers.sweep();
    expect(mappingsOf(early.own.arena.name)).toBe(1);
    const late = make({ kind });
    late.keep(ids);
    expect(early.restore(ids)).toBe(0);
    early.peers.sweep();
    expect(early.restore(ids)).toBe(64);
  });

  test('eviction takes the key away before the block is anything else', () => {
    const kind = realChance.id();
    const [owner, reader] = [make({ kind, blocks: 1 }), make({ kind })];
    reader.peers.sweep();
    const ids = promptOf(70);
    owner.keep(ids);
    const { table, version } = owner.own.arena.view;
    const [key = 0n] = table;
    const before = version[0] ?? 0;
    expect(key).not.toBe(0n);
    expect(found(reader.peers, key)).toEqual([0]);
    owner.own.store.take('somebody', 'ee'.repeat(32));
    expect(table[0]).toBe(0n);
    expect(version[0]).toBe(before + 1);
    expect(found(reader.peers, key)).toEqual([]);
    expect(reader.restore(ids)).toBe(0);
  });
});

describe('the index', () => {
  test('follows every change of a table, also of a key that moves to another block', () => {
    const kind = realChance.id();
    const [owner, reader] = [make({ kind }), make({ kind })];
    reader.peers.sweep();
    const { table, version } = owner.own.arena.view;
    const chance = seededChance(5);
    const keys = Array.from({ length: 5 }, (_, i) => (BigInt(chance.u32()) << 32n) + BigInt(i));
    for (let round = 0; round < 500; round++) {
      for (let n = chance.u32() % 3; n >= 0; n--) {
        const key = chance.u32() % 3 === 0 ? 0n : (keys[chance.u32() % 5] ?? 0n);
        const at = table.indexOf(key); // an owner has each name once
        if (at >= 0) table[at] = 0n;
        table[chance.u32() % 8] = key;
      }
      version[0] = (version[0] ?? 0) + 1;
      for (const key of keys) {
        const at = table.indexOf(key);
        expect(found(reader.peers, key)).toEqual(at < 0 ? [] : [at]);
      }
    }
  });
});

describe('half-made arenas', () => {
  function inFolder(): { folder: string; peers: PeerArenas; put: (bytes: Uint8Array) => string } {
    const folder = mkdtempSync(join(tmpdir(), 'tdist-peers-'));
    const peers = new PeerArenas({ identity, ownName: null, folder });
    closers.push(() => {
      peers.close();
      rmSync(folder, { recursive: true });
    });
    const name = `${arenaPrefix}test-${realChance.id()}`;
    return {
      folder,
      peers,
      put(bytes) {
        writeFileSync(join(folder, name), bytes, { mode: 0o600 });
        return name;
      },
    };
  }

  /** The bytes of a real arena with one block to be found. */
  function wholeArena(): { bytes: Uint8Array; key: bigint } {
    const id = `test-${realChance.id()}`;
    const arena = new Arena({ id, geometry, dtype, sizeBytes: arenaBytes(2), identity });
    arena.announce(1, 'ab'.repeat(32));
    const bytes = arena.view.bytes.slice();
    arena.close();
    return { bytes, key: 0xabab_abab_abab_ababn };
  }

  test('empty, short, and all zeros are passed over, and looked at again when they are whole', () => {
    const { folder, peers, put } = inFolder();
    const { bytes, key } = wholeArena();
    for (const half of [
      new Uint8Array(),
      new Uint8Array(100),
      new Uint8Array(bytes.length),
      bytes.with(0, 0), // all there but the magic, which comes last
    ]) {
      const name = put(half);
      peers.sweep();
      expect(found(peers, key)).toEqual([]);
      expect(() => peers.open(name)).toThrow(Fault);
      expect(mappingsOf(name)).toBe(0);
      rmSync(join(folder, name));
    }
    put(bytes);
    peers.sweep();
    expect(found(peers, key)).toEqual([1]);
  });

  test('a missing folder is nobody there', () => {
    const peers = new PeerArenas({ identity, ownName: null, folder: '/nonexistent/tdist' });
    peers.sweep();
    expect(peers.has(1n)).toBeFalse();
    expect(() => peers.open('tdist-x')).toThrow('is gone');
  });

  test('an owner that is still writing its first page is passed over, and found when it is done', () => {
    const id = `test-${realChance.id()}`;
    const peers = new PeerArenas({ identity, ownName: null });
    const tries: string[] = [];
    const look = (): string => {
      try {
        return `${peers.open(`${arenaPrefix}${id}`).blockCount} blocks`;
      } catch (thrown) {
        return String(thrown);
      }
    };
    const arena = new Arena({
      id,
      geometry,
      dtype,
      sizeBytes: arenaBytes(2),
      // Asked for in the middle of it: somebody looks just then.
      get identity() {
        tries.push(look());
        return identity;
      },
    });
    closers.push(() => {
      peers.close();
      arena.close();
    });
    expect(tries).toEqual([expect.stringContaining('does not begin with "TDKA"')]);
    expect(look()).toBe('2 blocks');
    arena.announce(1, 'ab'.repeat(32));
    expect(found(peers, 0xabab_abab_abab_ababn)).toEqual([1]);
  });
});

describe('readArena', () => {
  test('blocks that no word can begin at are no blocks', () => {
    const id = `test-${realChance.id()}`;
    const arena = new Arena({ id, geometry, dtype, sizeBytes: arenaBytes(3), identity });
    closers.push(() => arena.close());
    const header = new DataView(arena.view.bytes.buffer, 0, 4096);
    for (const at of [12, 16]) {
      const value = header.getUint32(at, true);
      for (const change of [-1, -2, -3]) {
        header.setUint32(at, value + change, true);
        const flaw = { flaw: 'its parts do not fit its size' };
        expect(readArena('odd', arena.view.mapping)).toEqual(flaw);
      }
      header.setUint32(at, value - 4, true);
      const found = readArena('even', arena.view.mapping);
      expect('flaw' in found).toBeFalse();
      header.setUint32(at, value, true);
    }
  });

  test('whatever the first pages say, nothing leads outside the mapping', () => {
    const chance = seededChance(7);
    const below = (count: number): number => chance.u32() % count;
    const bytes = arenaBytes(3);
    const id = `test-${realChance.id()}`;
    const arena = new Arena({ id, geometry, dtype, sizeBytes: bytes, identity });
    const whole = arena.view.bytes.slice();
    arena.close();
    const mapping = mapAnonymousMemory(whole.length);
    const view = viewBytes(mapping.address, mapping.bytes);
    const header = new DataView(view.buffer);
    const pool = new KvPool(geometry, { slots: 1, capacity });
    closers.push(() => {
      unmap(mapping);
      pool.close();
    });
    const edges = [0, 1, 7, 8, 4095, 4096, 4097, 8192, whole.length, 2 ** 31, 2 ** 32 - 1];
    let readable = 0;
    for (let round = 0; round < 4000; round++) {
      view.set(whole.subarray(0, 4096));
      for (let n = 1 + below(3); n > 0; n--) {
        const at = below(4) === 0 ? below(64) : 8 + 4 * below(3);
        if (below(2) === 0) header.setUint32(at & ~3, edges[below(edges.length)] ?? 0, true);
        else view[at] = below(256);
      }
      const found = readArena('fuzz', mapping);
      if ('flaw' in found) continue;
      readable++;
      expect(found.table.byteOffset + found.table.byteLength).toBeLessThanOrEqual(whole.length);
      const last = blockBegin(found, Math.max(0, found.blockCount - 1)) + found.stride;
      if (found.blockCount > 0) expect(last).toBeLessThanOrEqual(whole.length);
      // Reading any block there is or is not: a Fault, never a wild read.
      for (const index of [0, found.blockCount - 1, found.blockCount, 2 ** 32 - 1]) {
        const wanted = { index, hash: '', generation: null, checksum: null };
        const rows = { slot: 0, first: 0, count: 64 };
        for (const dtype of kvDtypes) {
          const read = (): void => readBlock(found, { kv: kv.as(dtype), wanted, rows }, pool);
          expect(read).toThrow(Fault);
        }
      }
    }
    expect(readable).toBeGreaterThan(200);
  });
});
