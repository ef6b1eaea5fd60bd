// What a prompt's KV takes through the object store when none of it leaves before the prompt is computed:
// all blocks staged at once, uploaded, fetched and put into another slot, by the production paths, in one
// process.

import { blockCount, tokenBytes } from '../../kv/geometry.ts';
import { KvPool } from '../../kv/pool.ts';
import { openNatsObjectStore } from '../../plane/nats-object.ts';
import type { ObjectStore } from '../../plane/object-store.ts';
import type { EngineCommand } from '../../protocol/engine.ts';
import { limit } from '../../protocol/limit.ts';
import type { Geometry } from '../../protocol/ticket.ts';
import { openKvPaths } from '../../role/kv-paths.ts';
import { realClock } from '../../std/clock.ts';
import { digest } from '../../std/hash.ts';
import { silentLog } from '../../telemetry/log.ts';
import { openKvDesk } from '../kv-desk.ts';

const kvObject = {
  storage: 'memory',
  bytesMax: 2 ** 30,
  ttlMs: 600_000,
  replicaCount: 1,
} as const;

type Wanted = {
  readonly uri: string;
  readonly geometry: Geometry;
  readonly tokens: number;
  readonly rounds: number;
};

/** Milliseconds of each round; every prompt is another. */
export async function transferTimes({ uri, geometry, tokens, rounds }: Wanted): Promise<number[]> {
  const size = { slots: 1, capacity: tokens };
  const [source, target] = [new KvPool(geometry, size), new KvPool(geometry, size)];
  const blocks = blockCount(geometry, tokens) + 1;
  const sizeBytes = blocks * (geometry.blockTokens * tokenBytes(geometry) + 4096) + 16_384;
  const desk = openKvDesk({ source, target, sizeBytes, keeps: false });
  const times: number[] = [];
  /** Of the round that runs. */
  let ids: readonly number[] = [];
  let computed = 0;
  const place = (command: EngineCommand): void => {
    if (command.type !== 'block') return;
    const { frame, requestId } = command;
    computed += desk.kvImport.put({ frame, ids, slot: 0, from: computed });
    queueMicrotask(() => reader.receive.object.placed(requestId, computed, null));
  };
  const stores: ObjectStore[] = [];
  const open = (role: 'context' | 'generate', workerId: string) => {
    const store = openNatsObjectStore({ uris: [uri], log: silentLog, name: `bench ${role}` });
    stores.push(store);
    return openKvPaths({
      store,
      config: { kvPath: 'object', kvObject },
      worker: {
        namespace: desk.id, // a bucket of its own: what an earlier measurement put is not there
        workerId,
        role,
        modelDigest: digest('bench'),
        geometry,
        kvDtype: 'float32',
      },
      engine: { submit: place, listen: () => undefined, load: noLoad },
      clock: realClock,
      log: silentLog,
    });
  };
  const [writer, reader] = [open('context', desk.id), open('generate', `${desk.id}-reader`)];
  try {
    // The first rounds connect, make the bucket and warm up.
    for (let round = -2; round < rounds; round++) {
      const requestId = `r${round}`;
      ids = Array.from({ length: tokens }, (_, k) => (k * 31 + (round + 3) * 977) % 3000);
      computed = 0;
      desk.kvExport.append({ requestId, ids, slot: 0, computed: tokens });
      const ticket = desk.kvExport.offer(requestId, limit.leaseMs);
      if (ticket === null) throw new Error('the arena is too small for the benchmark');
      const { receive } = reader;
      const beganMs = performance.now();
      receive.object.begin({ requestId, promptTokens: tokens, heldTokens: 0 });
      writer.send.object.begin({
        requestId,
        heldTokens: 0,
        announce: (some) => receive.object.announce(requestId, 'float32', some),
      });
      await receive.object.finish(requestId, await writer.send.object.offer(requestId, ticket));
      if (round >= 0) times.push(performance.now() - beganMs);
      writer.send.object.end(requestId);
      receive.object.end(requestId);
      desk.kvExport.release(requestId);
    }
  } finally {
    await Promise.all([writer.close(), reader.close()]);
    await Promise.all(stores.map((store) => store.close()));
    desk[Symbol.dispose]();
    source.close();
    target.close();
  }
  return times;
}

function noLoad(): never {
  throw new Error('nobody asks a benchmark for its load');
}
