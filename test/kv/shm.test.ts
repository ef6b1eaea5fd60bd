// The hand-over through shared memory: what leaves a slot here arrives in a slot there, byte for byte,
// or a Fault says why not.

import { afterEach, describe, expect, test } from 'bun:test';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Arena, blockBegin, blockStride, shmFolder } from '../../src/kv/arena.ts';
import { blockHeaderBytes } from '../../src/kv/block.ts';
import { BlockStore } from '../../src/kv/block-store.ts';
import { tokenBytes } from '../../src/kv/geometry.ts';
import { KvIdentity } from '../../src/kv/identity.ts';
import { PeerArenas } from '../../src/kv/peers.ts';
import { KvPool } from '../../src/kv/pool.ts';
import type { OwnArena } from '../../src/kv/prefix-cache.ts';
import { ShmExport } from '../../src/kv/shm-export.ts';
import { ShmImport } from '../../src/kv/shm-import.ts';
import { type KvDtype, kvBytes, kvDtypes, kvPayloadBytes } from '../../src/protocol/kv-size.ts';
import { limit } from '../../src/protocol/limit.ts';
import type { Geometry, ShmTicket } from '../../src/protocol/ticket.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { toFault } from '../../src/std/fault.ts';
import { checksum } from '../../src/std/hash.ts';
import { realChance } from '../../src/std/prng.ts';
import {
  arenaBytes,
  capacity,
  errorShare,
  fillRows,
  geometry,
  identity,
  kv,
  largest,
  largestDifference,
  modelDigest,
  promptOf,
  readRows,
} from './pool-rows.ts';

const stride = blockStride(geometry, 'float32');
const worlds: World[] = [];
afterEach(() => {
  for (const world of worlds.splice(0)) world.close();
});

/** A context worker's half and a generate worker's half, each with a pool of its own. */
class World {
  readonly clock = new ManualClock();
  readonly context = new KvPool(geometry, { slots: 2, capacity });
  readonly generate: KvPool;
  readonly arena: Arena;
  readonly store: BlockStore;
  readonly peers = new PeerArenas({ identity, ownName: null });
  readonly out: ShmExport;
  readonly into: ShmImport;

  constructor(
    options: {
      blocks?: number;
      digest?: string;
      geometry?: Geometry;
      /** Of the context worker's blocks. */
      dtype?: KvDtype;
      /** Of the generate worker's own blocks. */
      ownDtype?: KvDtype;
    } = {},
  ) {
    const { dtype = 'float32' } = options;
    const kv = new KvIdentity({ modelDigest, dtype, geometry });
    this.generate = new KvPool(options.geometry ?? geometry, { slots: 2, capacity });
    const sizeBytes = arenaBytes(options.blocks ?? 8, dtype);
    const id = `test-${realChance.id()}`;
    this.arena = new Arena({ id, geometry, dtype, sizeBytes, identity });
    this.store = new BlockStore(this.arena.blockCount, { keeps: false });
    this.out = new ShmExport({
      own: this.arenaAndStore(),
      pool: this.context,
      clock: this.clock,
      kv,
      owner: 'alice',
    });
    this.into = new ShmImport({
      peers: this.peers,
      pool: this.generate,
      kv: new KvIdentity({
        modelDigest: options.digest ?? modelDigest,
        dtype: options.ownDtype ?? dtype,
        geometry: this.generate.geometry,
      }),
      worker: 'bob',
    });
    worlds.push(this);
  }

  private arenaAndStore(): OwnArena {
    return { arena: this.arena, store: this.store };
  }

  /** Prefills `ids` into slot 0, one value to a place, and stages all of it. */
  stage(requestId: string, ids: readonly number[], salt = 1000): void {
    fillRows(this.context, 0, ids.length, salt);
    this.out.append({ requestId, ids, slot: 0, computed: ids.length });
  }

  offer(requestId: string, ids: readonly number[], salt = 1000): ShmTicket {
    this.stage(requestId, ids, salt);
    const ticket = this.out.offer(requestId, limit.leaseMs);
    if (ticket === null) throw new Error('no room');
    return ticket;
  }

  close(): void {
    this.peers.close();
    this.arena.close();
    this.context.close();
    this.generate.close();
  }
}

/** Code and message of the Fault that the fetch ends in. */
function faultOf(world: World, ticket: ShmTicket, ids: readonly number[]): string {
  try {
    world.into.fetch({ ticket, ids, slot: 1, from: 0 });
  } catch (thrown) {
    const { code, message } = toFault(thrown);
    return `${code}: ${message}`;
  }
  return 'none';
}

describe('from slot to slot', () => {
  for (const length of [1, 63, 64, 65, 128, 200, 256]) {
    test(`a prompt of ${length}`, () => {
      const world = new World();
      const ids = promptOf(length);
      const ticket = world.offer('a', ids);
      const blocks = Math.ceil(length / 64);
      expect([ticket.tokens, ticket.blocks.length]).toEqual([length, blocks]);
      expect(ticket.blocks.at(-1)?.count).toBe(length - (blocks - 1) * 64);
      const sent = readRows(world.context, 0, length);
      fillRows(world.context, 0, length, 7); // the slot is somebody else's now
      fillRows(world.generate, 1, capacity, 9000);
      const [before, other] = [readRows(world.generate, 1, capacity), world.generate];
      expect(world.into.fetch({ ticket, ids, slot: 1, from: 0 })).toBe(
        length * tokenBytes(geometry),
      );
      expect(readRows(world.generate, 1, length)).toEqual(sent);
      const dim = geometry.headDim;
      const after = readRows(other, 1, capacity);
      for (let at = 0; at < after.length; at += dim) {
        if ((at / dim) % capacity >= length) expect(after[at]).toBe(before[at] ?? Number.NaN);
      }
    });
  }

  test('staged chunk by chunk, whole blocks as they fill, is the same ticket', () => {
    const ids = promptOf(200);
    const [once, often] = [new World(), new World()];
    fillRows(often.context, 0, 200, 1000);
    const staged = [10, 63, 64, 64, 127, 150, 192, 199, 200].map((computed) => {
      often.out.append({ requestId: 'a', ids, slot: 0, computed });
      return often.store.counts().held;
    });
    expect(staged).toEqual([0, 0, 1, 1, 1, 2, 3, 3, 4]);
    const ticket = often.out.offer('a', limit.leaseMs);
    expect(ticket?.blocks).toEqual(once.offer('a', ids).blocks);
    if (ticket !== null) often.into.fetch({ ticket, ids, slot: 0, from: 0 });
    expect(readRows(often.generate, 0, 200)).toEqual(readRows(often.context, 0, 200));
  });

  test('the ticket says how long its export took, all chunks together', () => {
    const world = new World();
    const ids = promptOf(130);
    let nowMs = 0;
    world.clock.nowMs = () => {
      nowMs += 3;
      return nowMs;
    };
    for (const computed of [64, 130]) {
      world.out.append({ requestId: 'a', ids, slot: 0, computed });
    }
    expect(world.out.offer('a', limit.leaseMs)?.exportMs).toBe(6);
  });

  test('many requests at once, each its own; released blocks serve the next', () => {
    const world = new World({ blocks: 6 });
    const [a, b] = [promptOf(100, 1), promptOf(130, 2)];
    const tickets = [world.offer('a', a, 1000), world.offer('b', b, 50_000)];
    for (const [i, ids] of [a, b].entries()) {
      const ticket = tickets[i];
      if (ticket !== undefined) world.into.fetch({ ticket, ids, slot: i, from: 0 });
    }
    fillRows(world.context, 1, 130, 1000);
    expect(readRows(world.generate, 0, 100)).toEqual(readRows(world.context, 1, 100));
    fillRows(world.context, 1, 130, 50_000);
    expect(readRows(world.generate, 1, 130)).toEqual(readRows(world.context, 1, 130));
    expect(world.store.counts()).toEqual({ free: 1, held: 0, leased: 5, cached: 0 });
    world.out.release('a');
    world.out.release('b');
    const again = world.offer('c', promptOf(256, 3));
    expect(again.blocks.every(({ generation }) => generation <= 2)).toBeTrue();
    expect(again.blocks.some(({ generation }) => generation === 2)).toBeTrue();
  });

  test('another process reads it', async () => {
    const world = new World();
    const ids = promptOf(200);
    const ticket = world.offer('a', ids);
    const rows = readRows(world.context, 0, 200);
    const wanted = {
      bytes: 200 * tokenBytes(geometry),
      sum: checksum(new Uint8Array(rows.buffer)),
    };
    expect(await importElsewhere(ticket, ids)).toEqual(wanted);
    world.out.release('a');
    world.offer('b', promptOf(200, 5));
    expect(await importElsewhere(ticket, ids)).toEqual({ code: 'transfer' });
  });
});

async function importElsewhere(ticket: ShmTicket, ids: readonly number[]): Promise<unknown> {
  const script = join(import.meta.dir, 'import-main.ts');
  const reader = Bun.spawn([process.execPath, script], {
    stdin: new Blob([JSON.stringify({ ticket, ids })]),
    stderr: 'inherit',
  });
  const output = await new Response(reader.stdout).text();
  expect(await reader.exited).toBe(0);
  return JSON.parse(output);
}

describe('every dtype', () => {
  for (const dtype of kvDtypes) {
    for (const ownDtype of new Set([dtype, 'float32', 'float16'] as const)) {
      test(`${dtype}, read by a worker of ${ownDtype}`, () => {
        for (const length of [1, 64, 65, 200]) {
          const world = new World({ dtype, ownDtype });
          const ids = promptOf(length);
          const ticket = world.offer('a', ids);
          expect(ticket.dtype).toBe(dtype);
          const bytes = kvBytes(dtype, geometry, length);
          expect(world.into.fetch({ ticket, ids, slot: 1, from: 0 })).toBe(bytes);
          const sent = readRows(world.context, 0, length);
          const found = readRows(world.generate, 1, length);
          expect(largestDifference(sent, found)).toBeLessThanOrEqual(
            errorShare[dtype] * largest(sent),
          );
        }
      });
    }

    test(`${dtype}: a flipped byte anywhere in the payload is noticed, none behind it matters`, () => {
      const world = new World({ dtype });
      const ids = promptOf(36);
      const ticket = world.offer('a', ids);
      const { view } = world.arena;
      const payload = blockBegin(view, ticket.blocks[0]?.index ?? 0) + blockHeaderBytes;
      const end = payload + kvBytes(dtype, geometry, 36);
      const flip = (at: number): void => {
        view.bytes[at] = (view.bytes[at] ?? 0) ^ 0x10;
      };
      for (const at of [payload, payload + 50, end - 1]) {
        flip(at);
        expect(faultOf(world, ticket, ids)).toMatch(/^transfer: KV block .*: checksum/);
        flip(at);
      }
      flip(end);
      expect(faultOf(world, ticket, ids)).toBe('none');
    });
  }

  test('takes the bytes it should: float16 and bfloat16 half, int8 and fp8 a quarter and scales', () => {
    const bytesOf = (dtype: KvDtype): number => kvPayloadBytes(dtype, geometry, 64);
    const full = 64 * tokenBytes(geometry);
    expect(bytesOf('float32')).toBe(full);
    expect([bytesOf('float16'), bytesOf('bfloat16')]).toEqual([full / 2, full / 2]);
    const scales = 4 * geometry.layers * 2 * geometry.kvHeads;
    expect([bytesOf('int8'), bytesOf('fp8')]).toEqual([full / 4 + scales, full / 4 + scales]);
    const sizeBytes = arenaBytes(8);
    const counts = kvDtypes.map((dtype) => {
      const arena = new Arena({
        id: `test-${realChance.id()}`,
        geometry,
        dtype,
        sizeBytes,
        identity,
      });
      arena.close();
      return arena.blockCount;
    });
    expect(counts).toEqual([8, 14, 14, 25, 25]); // strides of 13, 7 and 4 pages
  });

  test('what a block of one dtype holds is refused where a header names another', () => {
    const world = new World({ dtype: 'float16' });
    const ids = promptOf(64);
    const ticket = world.offer('a', ids);
    const { view } = world.arena;
    view.bytes[blockBegin(view, ticket.blocks[0]?.index ?? 0) + 6] = 3; // bfloat16, as large
    expect(faultOf(world, ticket, ids)).toMatch(/^transfer: .*does not agree with the ticket/);
  });
});

describe('room and leases', () => {
  test('a full arena offers nothing and keeps nothing of the one who did not fit', () => {
    const world = new World({ blocks: 3 });
    world.offer('a', promptOf(64));
    world.stage('b', promptOf(200));
    expect(world.store.counts()).toEqual({ free: 2, held: 0, leased: 1, cached: 0 });
    expect(world.out.offer('b', limit.leaseMs)).toBeNull();
    world.offer('c', promptOf(128)); // what b left serves c
    expect(world.out.offer('b', limit.leaseMs)).toBeNull();
    expect(world.out.offer('nobody', limit.leaseMs)).toBeNull();
    world.out.release('a');
    expect(world.store.counts()).toEqual({ free: 1, held: 0, leased: 2, cached: 0 });
  });

  test('who did not fit stays refused even when room comes, and may try again later', () => {
    const world = new World({ blocks: 2 });
    const ids = promptOf(200);
    fillRows(world.context, 0, 200, 1);
    for (const computed of [64, 128, 192]) {
      world.out.append({ requestId: 'a', ids, slot: 0, computed });
    }
    expect(world.store.counts().free).toBe(2);
    world.out.append({ requestId: 'a', ids, slot: 0, computed: 200 });
    expect(world.store.counts().free).toBe(2);
    expect(world.out.offer('a', limit.leaseMs)).toBeNull();
    expect(world.offer('a', promptOf(128)).tokens).toBe(128);
  });

  test('an unfetched lease ends at its deadline; its ticket still works until the block is reused', () => {
    const world = new World({ blocks: 1 });
    const ids = promptOf(64);
    const ticket = world.offer('a', ids);
    world.clock.advance(limit.leaseMs - 1);
    expect(world.out.sweep()).toEqual([]);
    world.clock.advance(1);
    expect(world.out.sweep()).toEqual(['a']);
    expect(world.out.sweep()).toEqual([]);
    expect(world.store.counts()).toEqual({ free: 1, held: 0, leased: 0, cached: 0 });
    expect(faultOf(world, ticket, ids)).toBe('none');
    world.offer('b', promptOf(64, 2));
    expect(faultOf(world, ticket, ids)).toMatch(/^transfer: .*lease had expired and it was used/);
  });

  test('a request aborted while it stages leaves nothing', () => {
    const world = new World();
    world.stage('a', promptOf(100));
    world.out.release('a');
    expect(world.store.counts().free).toBe(8);
    expect(world.out.offer('a', limit.leaseMs)).toBeNull();
  });
});

/** A reader's pool that lets something happen right after each copy into it. */
class InterruptedPool extends KvPool {
  meanwhile: () => void = () => undefined;

  override copyRows(...args: Parameters<KvPool['copyRows']>): void {
    super.copyRows(...args);
    this.meanwhile();
  }
}

describe('damage', () => {
  const ids = promptOf(100);

  test('a block that is used again while it is read, even for the same bytes', () => {
    const world = new World({ blocks: 1 });
    const short = promptOf(30);
    const ticket = world.offer('a', short);
    const pool = new InterruptedPool(geometry, { slots: 1, capacity });
    const peers = new PeerArenas({ identity, ownName: null });
    const common = { peers, pool, kv };
    const reader = new ShmImport({ ...common, worker: 'slow' });
    const fetch = (): number => reader.fetch({ ticket, ids: short, slot: 0, from: 0 });
    expect(fetch).not.toThrow();
    pool.meanwhile = () => {
      world.out.release('a');
      world.offer('b', short);
    };
    expect(fetch).toThrow('it was used again while being read');
    peers.close();
    pool.close();
  });

  /** XORs one byte of the arena, at `at` from the second block's start (its payload holds 36 rows). */
  function flip(world: World, ticket: ShmTicket, at: number): void {
    const { view } = world.arena;
    const place = blockBegin(view, ticket.blocks[1]?.index ?? 0) + at;
    view.bytes[place] = (view.bytes[place] ?? 0) ^ 0x10;
  }

  test('any flipped byte of the payload is noticed, none behind it matters', () => {
    const world = new World();
    const ticket = world.offer('a', ids);
    const end = blockHeaderBytes + 36 * tokenBytes(geometry);
    for (const at of [blockHeaderBytes, blockHeaderBytes + 1000, end - 1]) {
      flip(world, ticket, at);
      expect(faultOf(world, ticket, ids)).toMatch(
        /^transfer: KV block .*: checksum [0-9a-f]{16}, wanted/,
      );
      flip(world, ticket, at);
    }
    flip(world, ticket, end);
    expect(faultOf(world, ticket, ids)).toBe('none');
  });

  const meanings: readonly [name: string, from: number, to: number, fault: RegExp][] = [
    ['magic', 0, 4, /does not begin with "TDKV"/],
    ['version', 4, 6, /version/],
    ['dtype', 6, 8, /its dtype \d+ is none that this build reads/],
    ['generation', 8, 12, /lease had expired/],
    ['first position', 12, 16, /does not agree/],
    ['count', 16, 20, /does not agree/],
    ['geometry', 20, 28, /does not agree/],
    ['checksum', 32, 40, /checksum/],
    ['model digest', 64, 96, /does not agree/],
    ['prefix hash', 96, 128, /does not agree/],
  ];
  for (const [name, from, to, fault] of meanings) {
    test(`a header with another ${name}`, () => {
      const world = new World();
      const ticket = world.offer('a', ids);
      for (let at = from; at < to; at++) {
        flip(world, ticket, at);
        const found = faultOf(world, ticket, ids);
        expect(found).toMatch(/^transfer: /);
        expect(found).toMatch(fault);
        flip(world, ticket, at);
      }
      expect(faultOf(world, ticket, ids)).toBe('none');
    });
  }

  test('a ticket that lies outside the arena', () => {
    const world = new World();
    const ticket = world.offer('a', ids);
    const astray = (index: number): ShmTicket => ({
      ...ticket,
      blocks: ticket.blocks.map((block) => ({ ...block, index })),
    });
    expect(faultOf(world, astray(8), ids)).toMatch(/^transfer: .*outside the arena/);
    expect(faultOf(world, astray(2 ** 40), ids)).toMatch(/^transfer: .*outside the arena/);
  });

  test('a ticket for other tokens, or whose blocks do not cover the prompt', () => {
    const world = new World();
    const ticket = world.offer('a', ids);
    const [first, second] = ticket.blocks;
    if (first === undefined || second === undefined) throw new Error('two blocks wanted');
    const refused = /^transfer: KV hand-over refused: its blocks are not of this prompt/;
    expect(faultOf(world, ticket, ids.with(50, 999))).toMatch(refused);
    expect(faultOf(world, ticket, ids.slice(0, 99))).toMatch(refused);
    expect(faultOf(world, ticket, [...ids, 1])).toMatch(refused);
    const broken: ShmTicket[] = [
      { ...ticket, tokens: 99 },
      { ...ticket, blocks: [first] },
      { ...ticket, blocks: [] },
      { ...ticket, blocks: [second, first] },
      { ...ticket, blocks: [first, second, second] },
      { ...ticket, blocks: [first, { ...second, count: 37 }] },
      { ...ticket, blocks: [first, { ...second, firstPosition: 0 }] },
      { ...ticket, blocks: [first, { ...second, hash: '0'.repeat(64) }] },
    ];
    for (const one of broken) expect(faultOf(world, one, ids)).toMatch(refused);
    expect(faultOf(world, ticket, ids)).toBe('none');
  });

  test('a ticket with another checksum than the header', () => {
    const world = new World();
    const ticket = world.offer('a', ids);
    const blocks = ticket.blocks.map((block) => ({ ...block, checksum: '0'.repeat(16) }));
    expect(faultOf(world, { ...ticket, blocks }, ids)).toMatch(/^transfer: .*wanted 0{16}/);
  });

  test('an arena that is missing, and one that is no arena', () => {
    const world = new World();
    const ticket = world.offer('a', ids);
    const gone = { ...ticket, arena: 'tdist-test-missing' };
    expect(faultOf(world, gone, ids)).toBe(
      'transfer: KV arena tdist-test-missing is gone; its worker has died or restarted',
    );
    const name = `tdist-test-${realChance.id()}`;
    const fd = openSync(join(shmFolder, name), 'wx', 0o600);
    try {
      expect(faultOf(world, { ...ticket, arena: name }, ids)).toMatch(
        /^transfer: .*is still empty/,
      );
      writeSync(fd, 'short');
      expect(faultOf(world, { ...ticket, arena: name }, ids)).toMatch(
        /^transfer: .*cannot be read: 5 bytes are too few/,
      );
    } finally {
      closeSync(fd);
      rmSync(join(shmFolder, name));
    }
  });

  test('an arena whose owner has gone is let go of at the next sweep', () => {
    const world = new World();
    const ticket = world.offer('a', ids);
    expect(faultOf(world, ticket, ids)).toBe('none');
    world.peers.sweep();
    expect(mappingsOf(world.arena.name)).toBe(2);
    rmSync(join(shmFolder, world.arena.name));
    expect(faultOf(world, ticket, ids)).toBe('none'); // it is still mapped, and whole
    world.peers.sweep();
    expect(mappingsOf(world.arena.name)).toBe(1);
    expect(faultOf(world, ticket, ids)).toMatch(/^transfer: .* is gone/);
  });
});

/** How often this process has the arena mapped. */
function mappingsOf(arena: string): number {
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return maps.filter((line) => line.includes(arena)).length;
}

describe('workers that cannot understand each other', () => {
  const ids = promptOf(70);
  const names = /^mismatch: .*context worker alice .*generate worker bob .*same model and flags/;

  test('another model: both digests, both workers', () => {
    const world = new World({ digest: 'cd'.repeat(32) });
    const found = faultOf(world, world.offer('a', ids), ids);
    expect(found).toMatch(names);
    expect(found).toContain(modelDigest);
    expect(found).toContain('cd'.repeat(32));
  });

  for (const [field, text] of [
    ['layers', '4 layers × 2 heads × 16, blocks of 64'],
    ['kvHeads', '3 layers × 4 heads × 16, blocks of 64'],
    ['headDim', '3 layers × 2 heads × 4, blocks of 64'],
    ['blockTokens', '3 layers × 2 heads × 16, blocks of 4'],
  ] as const) {
    test(`another geometry: ${field}`, () => {
      const world = new World({ geometry: { ...geometry, [field]: 4 } });
      const found = faultOf(world, world.offer('a', ids), ids);
      expect(found).toMatch(names);
      expect(found).toContain('3 layers × 2 heads × 16, blocks of 64');
      expect(found).toContain(text);
    });
  }

  test('a dtype that this build does not know: both, and what can be read', () => {
    const world = new World({ ownDtype: 'int8' });
    const ticket = { ...world.offer('a', ids), dtype: 'fp4' };
    expect(faultOf(world, ticket, ids)).toBe(
      'mismatch: KV hand-over refused: KV dtype of context worker alice is fp4, generate worker ' +
        'bob has int8 and reads float32, float16, bfloat16, int8, fp8; start both in the same version',
    );
  });

  test('a ticket that names another dtype than its blocks have', () => {
    const world = new World();
    const ticket = { ...world.offer('a', ids), dtype: 'float16' };
    expect(faultOf(world, ticket, ids)).toMatch(/^transfer: .*not of this prompt/);
  });
});

describe('Arena', () => {
  test('is a file of its size, all of it taken, gone when closed', () => {
    const name = `test-${realChance.id()}`;
    const sizeBytes = arenaBytes(5) + 100;
    const arena = new Arena({ id: name, geometry, dtype: 'float32', sizeBytes, identity });
    const path = join(shmFolder, `tdist-${name}`);
    // One page of header, one of the table.
    const bytes = 2 * 4096 + 5 * stride;
    expect([arena.blockCount, arena.view.bytes.byteLength]).toEqual([5, bytes]);
    expect(Bun.file(path).size).toBe(bytes);
    const { blocks, mode } = statSync(path);
    expect(blocks * 512).toBeGreaterThanOrEqual(bytes);
    expect(mode & 0o777).toBe(0o600);
    arena.close();
    expect(existsSync(path)).toBeFalse();
  });

  test('blocks begin at page boundaries', () => {
    expect(stride % 4096).toBe(0);
    expect(stride).toBeGreaterThanOrEqual(blockHeaderBytes + 64 * tokenBytes(geometry));
  });

  test('too small for one block names the flag and the wanted size', () => {
    const make = (sizeBytes: number): Arena =>
      new Arena({ id: `test-${realChance.id()}`, geometry, dtype: 'float32', sizeBytes, identity });
    const least = arenaBytes(1);
    expect(() => make(least - 1)).toThrow(
      `--kv-arena-bytes ${least - 1} holds no block; one block of this model takes ${stride + 3 * 4096} bytes`,
    );
    const arena = make(stride + 3 * 4096); // what the message asks for is enough
    expect(arena.blockCount).toBe(1);
    arena.close();
  });

  test('more than /dev/shm has is a Fault that says so, and leaves no file', () => {
    const name = `test-${realChance.id()}`;
    const sizeBytes = 2 ** 50;
    const make = (): Arena =>
      new Arena({ id: name, geometry, dtype: 'float32', sizeBytes, identity });
    expect(make).toThrow(/^\/dev\/shm has no room for the KV arena of \d+ bytes/);
    expect(toFaultOf(make).code).toBe('config');
    expect(readdirSync(shmFolder)).not.toContain(`tdist-${name}`);
  });
});

function toFaultOf(make: () => unknown): { code: string } {
  try {
    make();
    return { code: 'none' };
  } catch (thrown) {
    return toFault(thrown);
  }
}
