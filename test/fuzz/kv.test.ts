// KV from other workers: arenas of the host, blocks out of the bucket, tickets. What has been tampered with
// is refused as `transfer` or `mismatch`, and nothing of it stays in a slot unnoticed.

import { afterAll, expect } from 'bun:test';
import { safeParse } from 'valibot';
import { Arena, readArena } from '../../src/kv/arena.ts';
import { readHeader, writeHeader } from '../../src/kv/block.ts';
import { BlockStore } from '../../src/kv/block-store.ts';
import { codecs } from '../../src/kv/codec/table.ts';
import { copyFrame, frameBytes, frameDtype } from '../../src/kv/frame.ts';
import { KvIdentity } from '../../src/kv/identity.ts';
import { PeerArenas } from '../../src/kv/peers.ts';
import { KvPool } from '../../src/kv/pool.ts';
import { ShmExport } from '../../src/kv/shm-export.ts';
import { ShmImport } from '../../src/kv/shm-import.ts';
import { Assembly } from '../../src/plane/object-assembly.ts';
import { base64Url } from '../../src/plane/object-layout.ts';
import { kvDtypes, kvGroupCount } from '../../src/protocol/kv-size.ts';
import { limit } from '../../src/protocol/limit.ts';
import { type ShmTicket, shmTicketSchema } from '../../src/protocol/ticket.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { sha256 } from '../../src/std/hash.ts';
import type { Mapping } from '../../src/std/memory.ts';
import { addressOf } from '../../src/std/memory.ts';
import { realChance } from '../../src/std/prng.ts';
import {
  arenaBytes,
  capacity,
  fillRows,
  geometry,
  identity,
  modelDigest,
  promptOf,
  readRows,
} from '../kv/pool-rows.ts';
import type { Dice } from './dice.ts';
import { fuzz } from './fuzz.ts';
import { spoiled, spoiledBytes } from './mutate.ts';

const tokens = 100;
const ids = promptOf(tokens);
const kv = new KvIdentity({ modelDigest, dtype: 'float32', geometry });
const pool = new KvPool(geometry, { slots: 2, capacity });
const arena = new Arena({
  id: `fuzz-${realChance.id()}`,
  geometry,
  dtype: 'float32',
  sizeBytes: arenaBytes(4),
  identity,
});
const peers = new PeerArenas({ identity, ownName: null });
const out = new ShmExport({
  own: { arena, store: new BlockStore(arena.blockCount, { keeps: false }) },
  pool,
  clock: new ManualClock(),
  kv,
  owner: 'alice',
});
const into = new ShmImport({ peers, pool, kv, worker: 'bob' });
afterAll(() => {
  peers.close();
  arena.close();
  pool.close();
});
fillRows(pool, 0, tokens, 1000);
out.append({ requestId: 'r', ids, slot: 0, computed: tokens });
const ticket = offered();
const rows = readRows(pool, 0, tokens);

function offered(): ShmTicket {
  const found = out.offer('r', limit.leaseMs);
  if (found === null) throw new Error('no room in the arena');
  return found;
}

const whole = arena.view.bytes.slice();

fuzz({
  name: 'tickets for shared memory',
  rounds: 1000,
  make: (dice) => spoiled(dice, ticket),
  run(value) {
    const read = safeParse(shmTicketSchema, value);
    if (!read.success) return; // the bus refuses it, see bus.test.ts
    into.fetch({ ticket: read.output, ids, slot: 1, from: 0 });
    expect(readRows(pool, 1, tokens)).toEqual(rows);
  },
  codes: ['transfer', 'mismatch'],
});

fuzz({
  name: 'an arena whose owner writes what it likes',
  rounds: 300,
  make: (dice) => blockBytes(dice),
  run({ begin, bytes }) {
    arena.view.bytes.set(bytes, begin);
    try {
      into.fetch({ ticket, ids, slot: 1, from: 0 });
      expect(readRows(pool, 1, tokens)).toEqual(rows);
    } finally {
      arena.view.bytes.set(whole);
    }
  },
  codes: ['transfer'],
});

/** A changed piece of a block; most of the changes are in its header. */
function blockBytes(dice: Dice): { begin: number; bytes: Uint8Array<ArrayBuffer> } {
  const begin = arena.view.blocksBegin + dice.below(2) * arena.view.stride;
  const length = dice.isOneIn(2) ? 128 : arena.view.stride;
  const bytes = spoiledBytes(dice, whole.subarray(begin, begin + length)).slice(0, length);
  return { begin, bytes };
}

fuzz({
  name: 'the first pages of an arena',
  rounds: 2000,
  make: (dice) => spoiledBytes(dice, whole.subarray(0, 8192)),
  run(bytes) {
    const mapping: Mapping = { address: addressOf(bytes), bytes: bytes.byteLength };
    if (bytes.byteLength === 0) return;
    const view = readArena('tdist-x', mapping);
    if ('flaw' in view) return;
    expect(view.blocksBegin + view.blockCount * view.stride).toBeLessThanOrEqual(bytes.byteLength);
  },
  codes: [],
});

const block = ticket.blocks[0];
if (block === undefined) throw new Error('no block');
const frame = copyFrame(arena.view, {
  index: block.index,
  generation: block.generation,
  bytes: frameBytes('float32', geometry, block.count),
});

fuzz({
  name: 'blocks from other hosts',
  rounds: 1500,
  make: (dice) =>
    spoiledBytes(dice, dice.isOneIn(2) ? frame : frame.subarray(0, 128 + dice.small(10))),
  run(bytes) {
    into.put({ frame: bytes, ids, slot: 1, from: 0 });
    expect(readRows(pool, 1, 64)).toEqual(readRows(pool, 0, 64));
  },
  codes: ['transfer'],
});

fuzz({
  name: 'block headers',
  rounds: 3000,
  make: (dice) => spoiledBytes(dice, frame.subarray(0, 128)),
  run(bytes) {
    const padded = new Uint8Array(128);
    padded.set(bytes.subarray(0, 128));
    const header = readHeader(padded);
    if ('flaw' in header) return;
    const again = new Uint8Array(128);
    writeHeader(again, header);
    expect(readHeader(again)).toEqual(header);
    frameDtype(bytes);
  },
  codes: ['transfer'],
});

for (const dtype of kvDtypes) {
  fuzz({
    name: `payloads of ${dtype}`,
    rounds: 100,
    make: (dice) => dice.bytes(codecs[dtype].payloadBytes(geometry, 1 + dice.below(4))),
    run(bytes) {
      const count = bytes.byteLength / codecs[dtype].payloadBytes(geometry, 1);
      const values = new Float32Array(Math.floor(count) * 3 * 2 * 2 * 16);
      codecs[dtype].decode(bytes, values, kvGroupCount(geometry));
      const packed = new Uint8Array(bytes.byteLength);
      codecs[dtype].encode(values, packed, kvGroupCount(geometry));
    },
    codes: [],
  });
}

const chunks = [frame.slice(0, 1000), frame.slice(1000, 2000), frame.slice(2000, 2500)];
const object = Buffer.concat(chunks);
const hash = sha256();
hash.update(object);
const info = {
  name: 'n',
  nuid: 'N',
  bytes: object.byteLength,
  chunkCount: 3,
  digest: base64Url(hash.digest()),
};

// How large an object may be at all, whoever asks for it knows.
fuzz({
  name: 'chunks of an object, spoiled, swapped and lost',
  rounds: 2000,
  make: (dice) => ({
    info: dice.isOneIn(3)
      ? {
          ...info,
          bytes: dice.pick([0, 1, 2499, 2501, 1e6, 2 ** 53 - 1]),
          chunkCount: dice.pick([0, 1, 2, 3, 4, 1e9]),
        }
      : info,
    parts: dice
      .pick([chunks, chunks.toReversed(), [...chunks, ...chunks], chunks.slice(1)])
      .map((chunk) => (dice.isOneIn(4) ? spoiledBytes(dice, chunk) : chunk)),
    reply: dice.pick(['$JS.ACK.S.C.1.9', 'x', '', '$JS.ACK._.A.S.C.1.9']),
  }),
  run({ info: wanted, parts, reply }) {
    const assembly = new Assembly(wanted, { chunkBytesMax: 1024, what: 'object n' });
    for (const [at, data] of parts.entries()) {
      const subject = `${reply}.${at + 1}.0.${wanted.chunkCount - at - 1}`;
      if (!assembly.take({ subject: 's', data, reply: subject }, () => undefined)) continue;
      expect(Buffer.from(assembly.bytes).equals(object)).toBeTrue();
      return;
    }
  },
  codes: ['transfer'],
});
