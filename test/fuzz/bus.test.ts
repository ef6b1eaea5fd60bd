// Whatever arrives on the bus is read by schema or refused as `plane`; the fast way of the commonest
// message takes nothing that the schema would not.

import { expect } from 'bun:test';
import type * as v from 'valibot';
import { parse } from 'valibot';
import { isNote, readNote, writeNote } from '../../src/plane/claim-note.ts';
import { decode, encode } from '../../src/plane/codec.ts';
import { decodeMeta, encodeMeta } from '../../src/plane/object-layout.ts';
import { isPlainChunk } from '../../src/plane/plain-chunk.ts';
import {
  abortSchema,
  ackSchema,
  announceSchema,
  assetReplySchema,
  assetSchema,
  controlSchema,
  gatewaySchema,
  generateSchema,
  handoverSchema,
  heartbeatSchema,
  prefillSchema,
  tokensSchema,
} from '../../src/protocol/message.ts';
import { neutralSampling } from '../../src/protocol/request.ts';
import { heartbeat } from '../plane/make.ts';
import type { Dice } from './dice.ts';
import { fuzz } from './fuzz.ts';
import { jsonText, spoiled, spoiledBytes } from './mutate.ts';
import { anyJson } from './odd.ts';

const hash = 'ab'.repeat(32);
const geometry = { layers: 2, kvHeads: 2, headDim: 16, blockTokens: 64 };
const sampling = {
  ...neutralSampling,
  seed: 7,
  maxTokens: 16,
  logitBias: [[5, 1.5]],
  stopTokenIds: [2],
  badWords: [[1, 2]],
  allowedTokenIds: [1, 2, 3],
  logprobs: 3,
  grammar: {
    kind: 'json_schema',
    text: '{"type":"object"}',
    wrap: { begin: '<', end: '>', separator: ',', countMax: 2 },
  },
};
const request = {
  v: 1,
  requestId: 'r-1',
  promptIds: [1, 2, 3],
  emittedIds: [4],
  sampling,
  priority: 0,
  shared: true,
  cacheSalt: hash,
  stream: 'tdist.stream.1',
};
const common = {
  owner: 'w',
  modelDigest: hash,
  dtype: 'float32',
  geometry,
  tokens: 65,
  exportMs: 1.5,
};
const ref = {
  index: 1,
  generation: 2,
  firstPosition: 0,
  count: 64,
  hash,
  checksum: 'ab'.repeat(8),
};
const object = {
  firstPosition: 0,
  count: 64,
  hash,
  nuid: 'NUID1',
  bytes: 9,
  chunkCount: 1,
  digest: 'abc=',
};
const logprobs = [
  {
    logprob: -1.5,
    top: [
      [1, -1.5],
      [2, -3],
    ],
  },
];
const plainChunk = {
  v: 1,
  type: 'tokens',
  requestId: 'r',
  worker: 'w',
  first: 0,
  ids: [1, 2],
  finish: null,
};

const messages: readonly (readonly [string, v.GenericSchema, readonly object[]])[] = [
  [
    'generate',
    generateSchema,
    [{ ...request, type: 'generate', source: 'handover', contextWorker: 'c' }],
  ],
  [
    'prefill',
    prefillSchema,
    [{ ...request, type: 'prefill', generateWorker: 'g', kvPath: 'object', heldTokens: 64 }],
  ],
  [
    'handover',
    handoverSchema,
    [
      {
        v: 1,
        type: 'handover',
        requestId: 'r',
        firstToken: 1,
        ticket: { kind: 'shm', arena: 'tdist-a', ...common, blocks: [ref] },
      },
      {
        v: 1,
        type: 'handover',
        requestId: 'r',
        firstToken: 1,
        ticket: { kind: 'object', ...common, blocks: [object] },
      },
      {
        v: 1,
        type: 'handover',
        requestId: 'r',
        firstToken: 1,
        ticket: null,
        flaw: { code: 'transfer', message: 'm', reason: 'full' },
      },
    ],
  ],
  [
    'announce',
    announceSchema,
    [{ v: 1, type: 'announce', requestId: 'r', dtype: 'fp8', blocks: [object] }],
  ],
  ['abort', abortSchema, [{ v: 1, type: 'abort', requestId: 'r' }]],
  ['asset', assetSchema, [{ v: 1, type: 'asset', name: 'tokenizer', offset: 0 }]],
  ['control', controlSchema, [{ v: 1, type: 'control', action: 'drain' }]],
  [
    'reply',
    ackSchema,
    [
      { v: 1, ok: true, waitedMs: 1, heldTokens: 2, shm: true },
      { v: 1, ok: false, code: 'overloaded', message: 'full', reason: 'slots' },
    ],
  ],
  ['asset reply', assetReplySchema, [{ v: 1, totalBytes: 3, slice: 'YWJj' }]],
  ['gateway', gatewaySchema, [{ v: 1, type: 'gateway', gateway: 'g', state: 'alive' }]],
  [
    'heartbeat',
    heartbeatSchema,
    [
      {
        ...heartbeat('w', 'generate'),
        kvPath: 'auto',
        objects: true,
        jobs: 1,
        load: {
          ...heartbeat('w', 'generate').load,
          prefixKeys: ['ab'.repeat(8)],
          counters: {
            moves: 1,
            preemptions: 0,
            recomputes: { preempted: 1 },
            kvBlocks: { free: 1, held: 0, leased: 0, cached: 0 },
          },
        },
      },
    ],
  ],
  [
    'token chunk',
    tokensSchema,
    [
      plainChunk,
      {
        ...plainChunk,
        logprobs,
        scores: { from: 1, list: logprobs },
        finish: 'stop',
        stopToken: 2,
      },
      {
        ...plainChunk,
        fault: { code: 'engine', message: 'm' },
        timing: { queueMs: 1, cachedTokens: 2, kvPath: 'shm', kvBytes: 3 },
      },
    ],
  ],
];

/** A specimen by its structure, its text or its bytes spoiled; or anything at all. */
function payload(dice: Dice, specimens: readonly object[]): Uint8Array<ArrayBuffer> {
  const specimen = dice.pick(specimens);
  switch (dice.below(8)) {
    case 0:
      return spoiledBytes(dice, encode(specimen ?? {}));
    case 1:
      return Uint8Array.from(Buffer.from(jsonText(dice, anyJson(dice))));
    default:
      return Uint8Array.from(Buffer.from(jsonText(dice, spoiled(dice, specimen))));
  }
}

for (const [name, schema, specimens] of messages) {
  fuzz({
    name: `bus message ${name}`,
    rounds: 400,
    make: (dice) => payload(dice, specimens),
    run(bytes) {
      const value = decode(schema, bytes, name);
      // What was taken is the same when it is sent on.
      expect(decode(schema, encode(Object(value)), name)).toEqual(value);
    },
    codes: ['plane'],
  });
  for (const specimen of specimens) decode(schema, encode(specimen), name);
}

fuzz({
  name: 'token chunk, the fast way and the schema',
  rounds: 2000,
  make: (dice) => spoiled(dice, plainChunk),
  run(value) {
    if (isPlainChunk(value)) expect(parse(tokensSchema, value)).toEqual(value);
  },
  codes: [],
});

const info = { name: 'n', nuid: 'NUID', bytes: 9, chunkCount: 1, digest: 'abc=' };
const note = writeNote({ bucket: 'b', info, once: true, waitMs: 5 });
fuzz({
  name: 'note of a large message',
  rounds: 1000,
  make: (dice) => spoiledBytes(dice, note),
  run(bytes) {
    if (isNote(bytes)) readNote(bytes, 'b');
  },
  codes: ['plane'],
});

const meta = encodeMeta(info, { bucket: 'b', chunkBytes: 128, epochS: 1_700_000_000 });
const metaValue: unknown = JSON.parse(new TextDecoder().decode(meta));
fuzz({
  name: "an object's meta message",
  rounds: 1000,
  make: (dice) =>
    dice.isOneIn(3)
      ? spoiledBytes(dice, meta)
      : Uint8Array.from(Buffer.from(jsonText(dice, spoiled(dice, metaValue)))),
  run: (bytes) => decodeMeta(bytes, 'n'),
  codes: ['transfer'],
});
