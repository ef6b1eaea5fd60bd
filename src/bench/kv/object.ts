// KV blocks through the object store: our put and get beside the bare publishing and delivering of the
// same bytes by JetStream, which nobody can beat, and beside the stock client's putBlob and getBlob. One
// process, one nats-server, memory storage, sides in turns.

import { openRawPlane } from '../../plane/nats.ts';
import { openNatsObjectStore } from '../../plane/nats-object.ts';
import { NatsRawLink } from '../../plane/nats-raw.ts';
import { chunkBytesWanted } from '../../plane/object-layout.ts';
import type { ObjectBucket, ObjectInfo } from '../../plane/object-store.ts';
import type { RawLink } from '../../plane/raw-plane.ts';
import { silentLog } from '../../telemetry/log.ts';
import { type Effort, type Section, summaryRow } from '../engine/section.ts';
import { summarize } from '../statistics.ts';

const mib = 1024 * 1024;
const blockBytes = 3 * mib;
const blockCount = 21;
/** The stock client hashes in JavaScript: so many of them are enough to time it. */
const stockBlockCount = 4;
/** Blocks under way at once, as when a hand-over sends the blocks of one prompt. */
const atOnce = 4;
const windowBytes = 4 * mib;
const call = { timeoutMs: 60_000 };
const ofRawLeast = 0.6;
const ofStockLeast = 8;

const sides = [
  'raw publish',
  'put',
  'stock putBlob',
  'raw consume',
  'get',
  'stock getBlob',
] as const;
type Side = (typeof sides)[number];

export async function measureObject(uri: string, { quick }: Effort): Promise<Section> {
  const options = { uris: [uri], name: 'tdist bench', log: silentLog };
  const store = openNatsObjectStore(options);
  const plane = openRawPlane(options);
  const speeds = new Map<Side, number[]>(sides.map((side) => [side, []]));
  try {
    const bucket = store.bucket({
      name: 'tdist-bench',
      description: 'tdist bench kv',
      storage: 'memory',
      bytesMax: 512 * mib,
      ttlMs: 600_000,
      replicaCount: 1,
    });
    await bucket.usedBytes(call);
    const link = await plane.link();
    const stock = await stockBucket(link, bucket.name);
    const blocks = Array.from({ length: blockCount }, (_, i) => blockOf(i));
    const rounds = quick ? 3 : 7;
    for (let round = -1; round < rounds; round++) {
      const time = async (side: Side, count: number, work: () => Promise<unknown>) => {
        const beganMs = performance.now();
        await work();
        const speed = (count * blockBytes) / mib / ((performance.now() - beganMs) / 1000);
        if (round >= 0) speeds.get(side)?.push(speed); // the first round warms up
      };
      const rawSubject = `$O.${bucket.name}.C.raw`;
      const names = blocks.map((_, i) => `${round}.${i}`);
      const few = blocks.slice(0, stockBlockCount);
      let infos: ObjectInfo[] = [];
      await time('raw publish', blockCount, () => rawPublish(link, rawSubject, blocks));
      await time('put', blockCount, async () => {
        infos = await each(blocks, (block, i) => putOne(bucket, names[i] ?? '', block));
      });
      await time('stock putBlob', few.length, () =>
        each(few, (block, i) => stock.putBlob({ name: `stock ${i}` }, block)),
      );
      await time('raw consume', blockCount, () => rawConsume(link, bucket.name, rawSubject));
      await time('get', blockCount, () => each(infos, (info) => getOne(bucket, info)));
      await time('stock getBlob', few.length, () =>
        each(few, async (_, i) => {
          await stock.getBlob(`stock ${i}`);
        }),
      );
      await each(infos, (info) => bucket.remove(info, call));
      await purge(link, bucket.name, rawSubject);
    }
    await stock.destroy();
  } finally {
    await store.close();
    await plane.close();
  }
  return sectionOf(speeds);
}

function sectionOf(speeds: ReadonlyMap<Side, readonly number[]>): Section {
  const summaries = sides.map((side) => [side, summarize(speeds.get(side) ?? [])] as const);
  const ratio = (side: Side, base: Side): number => {
    const [mine, theirs] = [speeds.get(side) ?? [], speeds.get(base) ?? []];
    return summarize(mine.map((speed, i) => speed / (theirs[i] ?? Number.NaN))).median;
  };
  const claim = (side: Side, base: Side, wanted: number) => ({
    name: `object ${side} ÷ ${base}`,
    found: ratio(side, base),
    wanted,
    at: 'least' as const,
  });
  return {
    rows: summaries.map(([side, summary]) => summaryRow(`object: ${side}`, 'MiB/s', summary)),
    claims: [
      claim('put', 'raw publish', ofRawLeast),
      claim('get', 'raw consume', ofRawLeast),
      claim('put', 'stock putBlob', ofStockLeast),
      claim('get', 'stock getBlob', ofStockLeast),
    ],
    figures: { object: { blockBytes, blockCount, atOnce, ...Object.fromEntries(summaries) } },
  };
}

function blockOf(salt: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(blockBytes / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + salt * 7919, 0x9e37_79b1);
  return new Uint8Array(words.buffer);
}

async function putOne(bucket: ObjectBucket, name: string, block: Uint8Array): Promise<ObjectInfo> {
  const put = await bucket.put(name, block, call);
  if (put.outcome !== 'stored') throw new Error(`benchmark: put ${name} says ${put.outcome}`);
  return put.info;
}

/** Lets go of the bytes, as a worker does that has copied them into a slot. */
async function getOne(bucket: ObjectBucket, info: ObjectInfo): Promise<void> {
  await bucket.get(info, call);
}

/** `act` for each, `atOnce` under way. */
async function each<T, R>(
  items: readonly T[],
  act: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < items.length; i = next++) {
      const item = items[i];
      if (item !== undefined) results[i] = await act(item, i);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return results;
}

/** No hash, no object: the bytes in chunks, a window of them unacknowledged. */
async function rawPublish(
  link: RawLink,
  subject: string,
  blocks: readonly Uint8Array[],
): Promise<void> {
  const inbox = link.inbox();
  let inFlight = 0;
  let onAck: () => void = () => undefined;
  const end = link.subscribe(inbox, () => {
    inFlight -= chunkBytesWanted;
    onAck();
  });
  const atMost = (bytes: number) =>
    new Promise<void>((resolve) => {
      onAck = () => {
        if (inFlight <= bytes) resolve();
      };
      onAck();
    });
  for (const block of blocks) {
    for (let at = 0; at < block.byteLength; at += chunkBytesWanted) {
      if (inFlight >= windowBytes) await atMost(windowBytes - chunkBytesWanted);
      inFlight += chunkBytesWanted;
      link.publish(subject, block.subarray(at, at + chunkBytesWanted), { reply: inbox });
    }
  }
  await atMost(0);
  end();
}

/** A plain push consumer's delivery of them, counted and let go. */
async function rawConsume(link: RawLink, bucket: string, subject: string): Promise<void> {
  const [inbox, replies] = [link.inbox(), link.inbox()];
  await new Promise<void>((resolve, reject) => {
    let bytes = 0;
    const ends = [
      link.subscribe(inbox, (message) => {
        if (message.headers !== undefined) {
          if (message.reply) link.publish(message.reply, new Uint8Array(0));
          return;
        }
        bytes += message.data.byteLength;
        if (bytes < blockCount * blockBytes) return;
        for (const end of ends) end();
        resolve();
      }),
      link.subscribe(replies, ({ data }) => {
        const text = new TextDecoder().decode(data);
        if (text.includes('"error"')) reject(new Error(`benchmark: no consumer: ${text}`));
      }),
    ];
    const config = {
      deliver_subject: inbox,
      deliver_policy: 'all',
      ack_policy: 'none',
      filter_subject: subject,
      flow_control: true,
      idle_heartbeat: 5e9,
      inactive_threshold: 1e9,
      mem_storage: true,
    };
    const body = JSON.stringify({ stream_name: `OBJ_${bucket}`, config });
    link.publish(`$JS.API.CONSUMER.CREATE.OBJ_${bucket}`, new TextEncoder().encode(body), {
      reply: replies,
    });
  });
}

async function purge(link: RawLink, bucket: string, subject: string): Promise<void> {
  const inbox = link.inbox();
  await new Promise<void>((resolve) => {
    const end = link.subscribe(inbox, () => {
      end();
      resolve();
    });
    const body = new TextEncoder().encode(JSON.stringify({ filter: subject }));
    link.publish(`$JS.API.STREAM.PURGE.OBJ_${bucket}`, body, { reply: inbox });
  });
}

/** The library's own object store, over the same kind of connection. */
async function stockBucket(link: RawLink, bucket: string) {
  if (!(link instanceof NatsRawLink)) throw new Error('benchmark: not the NATS library');
  return await link.connection.jetstream().views.os(bucket);
}
