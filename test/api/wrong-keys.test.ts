// Keys that are guessed: how many from one address are heard, whom that hurts, and what is remembered.

import { describe, expect, test } from 'bun:test';
import { Access } from '../../src/api/access.ts';
import { keysOfFlag } from '../../src/api/key-file.ts';
import { networkOf, WrongKeys } from '../../src/api/wrong-keys.ts';
import { limit } from '../../src/protocol/limit.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { toFault } from '../../src/std/fault.ts';
import { noMeter } from '../../src/telemetry/metric.ts';
import { jsonOf, openWorld } from './world.ts';

const { wrongKeysPerMinute: most } = limit;
const here = '192.0.2.7';

function open(...keys: string[]) {
  const clock = new ManualClock();
  const access = new Access({ clock, meter: noMeter });
  access.replace(keysOfFlag(keys));
  /** `in`, or the fault's code. */
  const send = (key: string | null, address = here): string => {
    const headers = new Headers(key === null ? {} : { authorization: `Bearer ${key}` });
    try {
      access.tenantOf(headers, address);
      return 'in';
    } catch (thrown) {
      return toFault(thrown).code;
    }
  };
  const guess = (count: number, address = here): string[] =>
    Array.from({ length: count }, (_, i) => send(`wrong-${i}`, address));
  return { clock, access, send, guess };
}

describe('wrong keys of one address', () => {
  test('so many are heard, then none for a while, then one at a time', () => {
    const { clock, send, guess } = open('sk-a');
    expect(guess(most + 2)).toEqual([
      ...Array<string>(most).fill('unauthorized'),
      'rate_limit',
      'rate_limit',
    ]);
    clock.advance(60_000 / most - 1);
    expect(send('wrong')).toBe('rate_limit');
    clock.advance(2);
    expect([send('wrong'), send('wrong')]).toEqual(['unauthorized', 'rate_limit']);
    // What is not heard does not lengthen it.
    clock.advance(60_000);
    expect(guess(most)).toEqual(Array<string>(most).fill('unauthorized'));
  });

  test('a right key tells a guesser nothing, unless it was used from there before', () => {
    const { clock, send, guess } = open('sk-used', 'sk-unused', 'sk-elsewhere');
    expect([send('sk-used'), send('sk-elsewhere', '192.0.2.8')]).toEqual(['in', 'in']);
    guess(most);
    expect(send('sk-used')).toBe('in');
    expect([send('sk-unused'), send('sk-elsewhere')]).toEqual(['rate_limit', 'rate_limit']);
    clock.advance(60_000);
    expect([send('sk-unused'), send('sk-elsewhere')]).toEqual(['in', 'in']);
  });

  test('hurt no other address, and a request without a key is no guess', () => {
    const { send, guess } = open('sk-a');
    guess(most);
    expect([send('sk-a', '192.0.2.8'), send('wrong', '192.0.2.8')]).toEqual(['in', 'unauthorized']);
    for (let i = 0; i < 2 * most; i++) expect(send(null, '192.0.2.9')).toBe('unauthorized');
    expect(send('sk-a', '192.0.2.9')).toBe('in');
  });

  test('are those of one IPv6 network, however many addresses it has', () => {
    const { send } = open('sk-a');
    const of = (i: number): string => `2001:db8:0:1:${i.toString(16)}::1`;
    for (let i = 0; i < most; i++) expect(send('wrong', of(i + 1))).toBe('unauthorized');
    expect(send('wrong', of(0x77))).toBe('rate_limit');
    expect(send('wrong', '2001:db8:0:2::1')).toBe('unauthorized');
  });
});

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::FFFF:192.0.2.1', '192.0.2.1'],
  ['::1', '0:0:0:0'],
  ['2001:DB8::1', '2001:db8:0:0'],
  ['2001:0db8:0000:0001:1:2:3:4', '2001:db8:0:1'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['', ''],
])('network of %p', (address, network) => expect(networkOf(address)).toBe(network));

test('the table has a fixed size: who has not guessed for longest is forgotten', () => {
  const clock = new ManualClock();
  const wrong = new WrongKeys(clock);
  for (let i = 0; i < most; i++) for (const network of ['old', 'busy']) wrong.note(network);
  for (let i = 0; i < 2 * limit.wrongKeyNetworkMax; i++) {
    wrong.note(`n${i}`);
    wrong.note('busy');
  }
  expect(wrong.count).toBe(limit.wrongKeyNetworkMax);
  expect(wrong.waitMs('old')).toBe(0);
  expect(wrong.waitMs('busy')).toBeGreaterThan(0);
});

test('over HTTP: 429 in the envelope, with Retry-After, before anything is read', async () => {
  const clock = new ManualClock();
  await using world = openWorld(undefined, { apiKeys: keysOfFlag(['sk-a']), clock });
  const models = (key: string) =>
    world.fetch('/v1/models', { headers: { authorization: `Bearer ${key}` } });
  for (let i = 0; i < most; i++) expect((await models(`no-${i}`)).status).toBe(401);
  const refused = await world.chat({}, { headers: { authorization: 'Bearer sk-a' } });
  expect(refused.status).toBe(429);
  expect(refused.headers.get('retry-after')).toBe(String(60 / most));
  expect((await jsonOf(refused)).error).toMatchObject({
    code: 'rate_limit_exceeded',
    message: `Too many incorrect API keys came from this address. Try again in ${60 / most} s.`,
  });
  expect((await world.fetch('/health')).status).toBe(200);
  clock.advance(60_000 / most);
  expect((await models('sk-a')).status).toBe(200);
});
