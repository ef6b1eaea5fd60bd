// What is no message is refused with its version, whatever stands there.

import { expect, test } from 'bun:test';
import { decode, encode } from '../../src/plane/codec.ts';
import { abortSchema } from '../../src/protocol/message.ts';
import { Fault } from '../../src/std/fault.ts';

test.each<[unknown, string]>([
  [2, 'message version 2'],
  [undefined, 'message version undefined'],
  [null, 'message version null'],
  ['1', 'message version 1'],
  [{ toString: 1 }, 'message version {"toString":1}'],
  [[{ toString: null, valueOf: 'x' }], 'message version [{'],
])('version %p', (v, words) => {
  try {
    decode(abortSchema, encode({ v, type: 'abort', requestId: 'r' }), 'abort');
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    expect([thrown.code, thrown.message]).toEqual(['plane', expect.stringContaining(words)]);
    return;
  }
  throw new Error('taken');
});
