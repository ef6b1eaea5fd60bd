// How this worker's KV reaches others and theirs reaches it: shared memory, and the object store where
// that is allowed.

import type { WorkerConfig } from '../cli/config.ts';
import { arenaPrefix } from '../kv/arena.ts';
import { frameBytes } from '../kv/frame.ts';
import { kvBucketName } from '../kv/object-name.ts';
import { ObjectPut } from '../kv/object-put.ts';
import { ObjectReceive } from '../kv/object-receive.ts';
import { ObjectSend } from '../kv/object-send.ts';
import { PeerArenas } from '../kv/peers.ts';
import type { ShmFiles } from '../kv/shm-files.ts';
import { shmReceive, shmSend } from '../kv/shm-path.ts';
import type { KvPaths } from '../kv/transfer.ts';
import type { ObjectBucket, ObjectStore } from '../plane/object-store.ts';
import type { EnginePort } from '../protocol/engine.ts';
import { isKvDtype } from '../protocol/kv-size.ts';
import type { Clock } from '../std/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { RoomOptions } from './engine-room.ts';

export type KvPathsOptions = {
  readonly config: Pick<WorkerConfig, 'kvPath' | 'kvObject'>;
  /** Whoever opened it closes it, after this. */
  readonly store: ObjectStore;
  readonly worker: Pick<
    RoomOptions,
    'namespace' | 'workerId' | 'role' | 'modelDigest' | 'geometry' | 'kvDtype'
  >;
  readonly engine: EnginePort;
  readonly clock: Clock;
  readonly log: Log;
  /** Where arenas lie; /dev/shm unless told. */
  readonly files?: ShmFiles;
};

export type OwnKvPaths = KvPaths & {
  /** What it holds for requests, by name: nothing of it is left when none is under way. */
  held(): Readonly<Record<string, number>>;
  close(): Promise<void>;
};

const shmOnly: KvPaths = {
  send: { shm: shmSend, object: shmSend },
  receive: { shm: shmReceive, object: shmReceive },
};

export function openKvPaths(options: KvPathsOptions): OwnKvPaths {
  const { config, store, worker, engine, clock, log } = options;
  const { role, workerId, geometry, kvDtype } = worker;
  if (role === 'baseline' || config.kvPath === 'shm') {
    return { ...shmOnly, held: () => ({}), close: async () => undefined };
  }
  const { kvObject } = config;
  const buckets = new Map<string, ObjectBucket>();
  const bucketOf = (dtype: string): ObjectBucket | null => {
    const known = buckets.get(dtype);
    if (known !== undefined || !isKvDtype(dtype)) return known ?? null;
    const name = kvBucketName({ ...worker, dtype });
    const description = `KV blocks of tdist, ${dtype}`;
    const bucket = store.bucket({ name, description, ...kvObject });
    buckets.set(dtype, bucket);
    return bucket;
  };
  const own = bucketOf(kvDtype);
  // The engine's thread owns the arena; this one looks into it as another process would.
  const arenas = new PeerArenas({
    identity: '',
    ownName: null,
    ...(options.files === undefined ? {} : { files: options.files }),
  });
  const put =
    own === null ? null : new ObjectPut({ bucket: own, clock, log, ttlMs: kvObject.ttlMs });
  const send =
    role !== 'context' || put === null
      ? shmSend
      : new ObjectSend({
          arena: () => arenas.open(`${arenaPrefix}${workerId}`),
          frameBytes: (count) => frameBytes(kvDtype, geometry, count),
          put,
          clock,
        });
  const receive = new ObjectReceive({
    bucketOf,
    deliver: (requestId, frame) => engine.submit({ type: 'block', requestId, frame }),
    clock,
    frameBytesMax: frameBytes('float32', geometry, geometry.blockTokens),
  });
  return {
    send: { shm: shmSend, object: send },
    receive: { shm: shmReceive, object: receive },
    held: () => ({
      uploads: send instanceof ObjectSend ? send.count : 0,
      receptions: receive.count,
      objects: put?.heldCount ?? 0,
    }),
    async close() {
      arenas.close();
      await put?.clear();
    },
  };
}
