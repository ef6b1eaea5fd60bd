// What can go wrong with KV in the object store: each ends in a Fault `transfer` with its reason, in time,
// and the next request is none the worse for it. The clock is the test's.

import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { frameBytes } from '../../src/kv/frame.ts';
import { kvBucketName } from '../../src/kv/object-name.ts';
import { MemoryObjectHub } from '../../src/plane/memory-object.ts';
import type { ObjectInfo } from '../../src/plane/object-store.ts';
import { limit } from '../../src/protocol/limit.ts';
import type { ObjectBlock, ObjectTicket, Ticket } from '../../src/protocol/ticket.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { seededChance } from '../../src/std/prng.ts';
import { type EndOptions, Reader, Writer } from '../contract/kv-world.ts';
import { reasonOf } from '../plane/object-world.ts';
import { geometry, modelDigest, promptOf, readRows } from './pool-rows.ts';

const namespace = 'test';
const bucketName = kvBucketName({ namespace, modelDigest, dtype: 'float32' });
const blockBytes = frameBytes('float32', geometry, geometry.blockTokens);
const call = { timeoutMs: 1000 };

let clock = new ManualClock();
let hub = new MemoryObjectHub({ clock, chance: seededChance(1) });
const ends: (Writer | Reader)[] = [];

beforeEach(() => {
  clock = new ManualClock();
  hub = new MemoryObjectHub({ clock, chance: seededChance(1) });
});

afterEach(async () => {
  hub.isSilent = false; // or a worker's end waits for it
  for (const end of ends.splice(0)) {
    if (end instanceof Writer) {
      expect(end.own.store.counts()).toMatchObject({ held: 0, leased: 0 });
    }
    await end.close();
  }
  expect(clock.pendingCount).toBe(0);
});

function options(change: Partial<EndOptions> = {}): EndOptions {
  return { path: 'object', clock, openStore: () => hub.open(), namespace, ...change };
}

function writerOf(change: Partial<EndOptions> & { blocks?: number; keeps?: boolean } = {}): Writer {
  const writer = new Writer({ ...options(change), ...change });
  ends.push(writer);
  return writer;
}

function readerOf(change: Partial<EndOptions> = {}): Reader {
  const reader = new Reader(options(change));
  ends.push(reader);
  return reader;
}

/** Uploaded whole; nobody has read it yet. */
async function upload(writer: Writer, ids: readonly number[], id = 'r'): Promise<ObjectTicket> {
  writer.begin(id, ids);
  writer.compute(id, ids.length);
  return objectTicket(await writer.offer(id));
}

function objectTicket(ticket: Ticket): ObjectTicket {
  if (ticket.kind !== 'object') throw new Error(`a ticket of ${ticket.kind}`);
  return ticket;
}

function nth(ticket: ObjectTicket, i: number): ObjectBlock {
  const block = ticket.blocks[i];
  if (block === undefined) throw new Error(`no block ${i}`);
  return block;
}

function withBlock(ticket: ObjectTicket, i: number, change: Partial<ObjectBlock>): ObjectTicket {
  const blocks = ticket.blocks.map((block, at) => (at === i ? { ...block, ...change } : block));
  return { ...ticket, blocks };
}

/** The bucket as anybody may open it. */
function bucket() {
  const settings = {
    storage: 'memory',
    bytesMax: 2 ** 28,
    ttlMs: 600_000,
    replicaCount: 1,
  } as const;
  return hub.open().bucket({ name: bucketName, description: '', ...settings });
}

const infoOf = (block: ObjectBlock): ObjectInfo => ({ ...block, name: block.hash });

/** Puts other bytes under a block's name, and gives the ticket that leads there. */
async function replaced(
  ticket: ObjectTicket,
  i: number,
  change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>,
): Promise<ObjectTicket> {
  const block = nth(ticket, i);
  const bytes = await bucket().get(infoOf(block), call);
  await bucket().remove(infoOf(block), call);
  const put = await bucket().put(block.hash, change(bytes), call);
  if (put.outcome !== 'stored') throw new Error(put.outcome);
  return withBlock(ticket, i, put.info);
}

async function turn(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

const ids = promptOf(200);

describe('what a reader refuses', () => {
  type Damage = (ticket: ObjectTicket) => ObjectTicket | Promise<ObjectTicket>;
  const atHub =
    (how: 'corrupt' | 'lose' | 'expire'): Damage =>
    (ticket) => {
      hub[how](bucketName, nth(ticket, 2).hash);
      return ticket;
    };
  const inBytes =
    (change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>): Damage =>
    (ticket) =>
      replaced(ticket, 2, change);
  const flip = (at: number) => (bytes: Uint8Array<ArrayBuffer>) => {
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes;
  };
  const cases: readonly (readonly [string, string, Damage])[] = [
    ['a bit has changed in the store', 'corrupt', atHub('corrupt')],
    ['its bytes are lost', 'missing', atHub('lose')],
    ['it has expired', 'missing', atHub('expire')],
    ['a digest of other bytes', 'corrupt', (ticket) => withBlock(ticket, 2, { digest: 'AAAA' })],
    [
      'a claim of more bytes',
      'truncated',
      (ticket) => withBlock(ticket, 2, { bytes: blockBytes - 1 }),
    ],
    [
      'a claim of more bytes than a block has',
      'digest',
      (t) => withBlock(t, 2, { bytes: 2 ** 40 }),
    ],
    ['whole in the store, half a block', 'truncated', inBytes((bytes) => bytes.slice(0, 9000))],
    ['less than a header', 'truncated', inBytes((bytes) => bytes.slice(0, 100))],
    ['a bit has changed before it was put', 'corrupt', inBytes(flip(9000))],
    ['a header that is none', 'corrupt', inBytes(flip(0))],
    [
      'a hole',
      'truncated',
      (ticket) => ({ ...ticket, blocks: ticket.blocks.filter((_, i) => i !== 1) }),
    ],
    ['fewer tokens', 'truncated', (ticket) => ({ ...ticket, tokens: 199 })],
    ['no blocks', 'truncated', (ticket) => ({ ...ticket, blocks: [] })],
    ['a dtype that is none', 'dtype', (ticket) => ({ ...ticket, dtype: 'float4' })],
  ];
  for (const [what, reason, damage] of cases) {
    test(`${what}: ${reason}, what came before it stands`, async () => {
      const [writer, reader] = [writerOf(), readerOf()];
      const ticket = await damage(await upload(writer, ids));
      reader.begin('r', ids);
      expect(await reasonOf(reader.finish('r', ticket))).toBe(reason);
      // The engine goes on from here: all of it is right.
      const computed = reader.computedOf('r');
      expect(computed % 64).toBe(0);
      expect(computed).toBeLessThan(192);
      expect(readRows(reader.pool, 0, computed)).toEqual(readRows(writer.pool, 0, computed));
      reader.end('r');
      writer.end('r');
    });
  }

  for (const [what, other] of [
    ['another prompt', { ids: promptOf(200, 9), modelDigest }],
    ['another model', { ids, modelDigest: 'cd'.repeat(32) }],
  ] as const) {
    test(`a whole block of ${what} under the right name: digest`, async () => {
      const [writer, reader] = [writerOf(), readerOf()];
      const foreign = writerOf({ modelDigest: other.modelDigest });
      const theirs = await upload(foreign, other.ids, 'other');
      foreign.end('other');
      const theirBucket = kvBucketName({
        namespace,
        modelDigest: other.modelDigest,
        dtype: 'float32',
      });
      const settings = { storage: 'memory', bytesMax: 1, ttlMs: 1, replicaCount: 1 } as const;
      const from = hub.open().bucket({ name: theirBucket, description: '', ...settings });
      const bytes = await from.get(infoOf(nth(theirs, 1)), call);
      const ticket = await replaced(await upload(writer, ids), 1, () => bytes);
      reader.begin('r', ids);
      expect(await reasonOf(reader.finish('r', ticket))).toBe('digest');
      expect(reader.computedOf('r')).toBe(64);
      reader.end('r');
      writer.end('r');
    });
  }

  test('a refused block announced before the ticket: told when the ticket comes, at once', async () => {
    const [writer, reader] = [writerOf(), readerOf()];
    const ticket = await upload(writer, ids);
    hub.corrupt(bucketName, nth(ticket, 0).hash);
    reader.begin('r', ids);
    reader.announce('r', ticket.blocks);
    await turn();
    expect(await reasonOf(reader.finish('r', ticket))).toBe('corrupt');
    expect(reader.blockCount).toBe(0);
    reader.end('r');
    writer.end('r');
  });
});

describe('what a reader could not read', () => {
  for (const how of ['lose', 'corrupt', 'expire'] as const) {
    test(`${how}: does not stand in the way of the next request with that beginning`, async () => {
      const [writer, reader] = [writerOf(), readerOf()];
      const ticket = await upload(writer, ids, 'a');
      hub[how](bucketName, nth(ticket, 1).hash);
      reader.begin('a', ids);
      const reason = await reasonOf(reader.finish('a', ticket));
      writer.paths.send.object.refused('a', reason);
      reader.end('a');
      writer.end('a');
      const again = await upload(writer, ids, 'b');
      reader.begin('b', ids);
      await reader.finish('b', again);
      expect(readRows(reader.pool, 0, 200)).toEqual(readRows(writer.pool, 0, 200));
      reader.end('b');
      writer.end('b');
    });
  }

  test('a refusal for another reason leaves the objects alone', async () => {
    const writer = writerOf();
    await upload(writer, ids, 'a');
    writer.paths.send.object.refused('a', 'timeout');
    writer.paths.send.object.refused('unknown', 'missing');
    writer.end('a');
    await upload(writer, ids, 'b');
    expect(writer.paths.send.object.savedBytes()).toBeGreaterThan(3 * blockBytes);
    writer.end('b');
  });
});

describe('the end of a worker', () => {
  test('takes what it has put with it, and leaves what others have put', async () => {
    const [one, two] = [writerOf(), writerOf()];
    const [ours, theirs] = [promptOf(130, 1), promptOf(70, 2)];
    await upload(one, ours, 'a');
    const ticket = await upload(two, theirs, 'b');
    await upload(one, theirs, 'c'); // found there
    for (const id of ['a', 'c']) one.end(id);
    await one.close();
    ends.splice(ends.indexOf(one), 1);
    const left = ticket.blocks.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(await bucket().usedBytes(call)).toBe(left);
    two.end('b');
  });
});

test('an engine that is long in coming gets several blocks at once, and no more than fit ahead', async () => {
  const [writer, reader] = [writerOf(), readerOf()];
  const ticket = await upload(writer, promptOf(513));
  reader.isBusy = true;
  reader.begin('r', promptOf(513));
  const finishing = reader.finish('r', ticket);
  const taken: number[] = [];
  while (reader.computedOf('r') < 513) {
    await turn();
    taken.push(reader.step());
  }
  await finishing;
  expect(limit.objectAheadMax).toBe(4);
  expect(taken).toEqual([4, 4, 1]);
  expect(readRows(reader.pool, 0, 513)).toEqual(readRows(writer.pool, 0, 513));
  reader.end('r');
  writer.end('r');
});

for (const count of [0, 1, 640]) {
  test(`blocks announced as ${count} tokens each: what they hold counts`, async () => {
    const [writer, reader] = [writerOf(), readerOf()];
    const ticket = await upload(writer, promptOf(513));
    reader.begin('r', promptOf(513));
    reader.announce(
      'r',
      ticket.blocks.map((block) => ({ ...block, count })),
    );
    await reader.finish('r', ticket);
    expect(readRows(reader.pool, 0, 513)).toEqual(readRows(writer.pool, 0, 513));
    reader.end('r');
    writer.end('r');
  });
}

describe('a full bucket', () => {
  const four = { bytesMax: 4 * blockBytes };

  test('loses what we have put and nobody needs, least recently used first', async () => {
    const writer = writerOf(four);
    const [a, b, c] = [promptOf(64, 1), promptOf(128, 2), promptOf(128, 3)];
    const first = await upload(writer, a, 'a');
    writer.end('a');
    await upload(writer, b, 'b'); // held: its reader is still at it
    const again = await upload(writer, a, 'a');
    expect(again.blocks).toEqual(first.blocks);
    writer.end('a');
    const ticket = await upload(writer, c, 'c');
    const has = async (block: ObjectBlock) => (await bucket().info(block.hash, call)) !== null;
    expect(await has(nth(first, 0))).toBe(false);
    expect(await has(nth(ticket, 1))).toBe(true);
    const reader = readerOf();
    reader.begin('b', b);
    await reader.finish('b', objectTicket(await writer.offer('b')));
    for (const id of ['b', 'c']) writer.end(id);
    reader.end('b');
  });

  test('of others: waits for room as long as a transfer may take, then says full', async () => {
    const [other, writer] = [writerOf(four), writerOf(four)];
    await upload(other, promptOf(256, 1), 'other');
    other.end('other');
    const work = reasonOf(upload(writer, ids));
    const beganMs = clock.nowMs();
    await passUntil(work);
    expect(await work).toBe('full');
    expect(clock.nowMs() - beganMs).toBeLessThanOrEqual(limit.objectTransferMs + 250);
    writer.end('r');
  });

  test('of others, whose time ends meanwhile: goes on', async () => {
    const short = { ...four, ttlMs: 1500 };
    const [other, writer] = [writerOf(short), writerOf(short)];
    await upload(other, promptOf(256, 1), 'other');
    other.end('other');
    const work = upload(writer, ids);
    await passUntil(work);
    expect((await work).blocks).toHaveLength(4);
    expect(clock.nowMs()).toBeLessThan(2500);
    writer.end('r');
  });

  test('ended while it waits for room: at once, and nothing of it stays', async () => {
    const [other, writer] = [writerOf(four), writerOf(four)];
    await upload(other, promptOf(256, 1), 'other');
    other.end('other');
    const work = reasonOf(upload(writer, ids));
    await turn();
    writer.end('r');
    expect(await work).toBe('cancelled');
  });
});

/** Time passes until `work` has ended. */
async function passUntil(work: Promise<unknown>): Promise<void> {
  let isOver = false;
  void work.finally(() => {
    isOver = true;
  });
  for (let i = 0; i < 200; i++) {
    await turn();
    if (isOver) return;
    clock.advance(250);
  }
  throw new Error('it never ends');
}

describe('a store in trouble', () => {
  test('unreachable from the first, and in the middle', async () => {
    const [writer, reader] = [writerOf(), readerOf()];
    hub.trouble = 'nobody there';
    expect(await reasonOf(upload(writer, ids, 'a'))).toBe('unreachable');
    writer.end('a');
    hub.trouble = null;
    const ticket = await upload(writer, ids, 'b');
    reader.begin('b', ids);
    reader.announce('b', ticket.blocks.slice(0, 2));
    await turn();
    hub.trouble = 'gone';
    expect(await reasonOf(reader.finish('b', ticket))).toBe('unreachable');
    expect(reader.computedOf('b')).toBe(128);
    reader.end('b');
    writer.begin('c', promptOf(200, 5));
    hub.trouble = null;
    writer.compute('c', 128);
    await turn();
    hub.trouble = 'gone again';
    writer.compute('c', 200);
    expect(await reasonOf(writer.offer('c'))).toBe('unreachable');
    hub.trouble = null;
    for (const id of ['b', 'c']) writer.end(id);
    await upload(writer, promptOf(200, 5), 'd');
    writer.end('d');
  });

  test('silent: the upload ends within its deadline', async () => {
    const writer = writerOf();
    hub.isSilent = true;
    const work = reasonOf(upload(writer, promptOf(513)));
    await passUntil(work);
    expect(await work).toBe('timeout');
    expect(clock.nowMs()).toBeLessThanOrEqual(limit.objectTransferMs);
    writer.end('r');
  });

  test('silent: the download, too', async () => {
    const [writer, reader] = [writerOf(), readerOf()];
    const ticket = await upload(writer, ids);
    hub.isSilent = true;
    reader.begin('r', ids);
    const work = reasonOf(reader.finish('r', ticket));
    await passUntil(work);
    expect(await work).toBe('timeout');
    expect(clock.nowMs()).toBeLessThanOrEqual(limit.objectTransferMs);
    reader.end('r');
    writer.end('r');
  });

  test('who waits for another’s upload can be ended, and has its lane back', async () => {
    const writer = writerOf();
    hub.isSilent = true;
    const first = reasonOf(upload(writer, promptOf(64), 'a'));
    await turn();
    const others = ['b', 'c', 'd', 'e', 'f'];
    const works = others.map((id) => reasonOf(upload(writer, promptOf(64), id)));
    await turn();
    for (const id of others) writer.end(id);
    expect(await Promise.all(works)).toEqual(others.map(() => 'cancelled'));
    hub.isSilent = false;
    await upload(writer, promptOf(200, 7), 'g');
    writer.end('g');
    writer.end('a');
    expect(await first).toBe('cancelled');
  });

  test('an upload that another waited for fails: the other tries by itself', async () => {
    const writer = writerOf();
    hub.isSilent = true;
    const first = reasonOf(upload(writer, promptOf(64), 'a'));
    await turn();
    const second = upload(writer, promptOf(64), 'b');
    await turn();
    hub.isSilent = false;
    writer.end('a');
    expect(await first).toBe('cancelled');
    expect((await second).blocks).toHaveLength(1);
    writer.end('b');
  });
});

describe('time', () => {
  test('an arena block used again before its upload: expired', async () => {
    const writer = writerOf({ blocks: 1, keeps: false });
    writer.begin('a', promptOf(64, 1));
    writer.compute('a', 64);
    const ticket = writer.ticket('a');
    writer.loseArena('a');
    writer.begin('b', promptOf(64, 2));
    writer.compute('b', 64);
    expect(await reasonOf(writer.paths.send.object.offer('a', ticket))).toBe('expired');
    await writer.offer('b');
    for (const id of ['a', 'b']) writer.end(id);
  });

  test('what another has put is not relied on beyond its time', async () => {
    const short = { ttlMs: 100_000 };
    const [other, writer, reader] = [writerOf(short), writerOf(short), readerOf(short)];
    await upload(other, ids, 'other');
    other.end('other');
    for (const [id, atMs] of [
      ['a', 49_000],
      ['b', 98_000],
    ] as const) {
      clock.advance(atMs - clock.nowMs());
      const ticket = await upload(writer, ids, id);
      clock.advance(3000); // on its way
      reader.begin(id, ids);
      await reader.finish(id, ticket);
      reader.end(id);
      writer.end(id);
    }
  });

  test('our own is put anew before it ends, and stays while its reader needs it', async () => {
    const few = { ttlMs: 100_000, bytesMax: 3 * blockBytes };
    const [writer, reader] = [writerOf(few), readerOf(few)];
    const mine = promptOf(64, 1);
    const old = await upload(writer, mine, 'a');
    clock.advance(60_000);
    const fresh = await upload(writer, mine, 'b');
    expect(nth(fresh, 0).nuid).not.toBe(nth(old, 0).nuid);
    writer.end('a'); // of the old one: the new one is still b's
    await upload(writer, promptOf(64, 2), 'c');
    writer.end('c');
    await upload(writer, promptOf(128, 3), 'd'); // room for it is made, not out of b's
    reader.begin('b', mine);
    await reader.finish('b', fresh);
    reader.end('b');
    for (const id of ['b', 'd']) writer.end(id);
  });
});
