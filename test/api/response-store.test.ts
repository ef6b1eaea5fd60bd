// What the store of responses keeps, for how long, and for whom.

import { describe, expect, test } from 'bun:test';
import { ownerOf, ResponseStore } from '../../src/api/response-store.ts';
import { limit } from '../../src/protocol/limit.ts';
import { ManualClock } from '../../src/std/clock.ts';

const items = [{ role: 'user' as const, content: 'x' }];
const kept = (name: string) => ({ body: { name }, items, inputCount: 1 });
const bytes = JSON.stringify(kept('a')).length * 2;

function storeOf(bounds: { countMax?: number; bytesMax?: number }) {
  const clock = new ManualClock();
  const all = { countMax: 10, bytesMax: 10_000, keepMs: 1000, ...bounds };
  const store = new ResponseStore(clock, all);
  const names = (): string[] => ['a', 'b', 'c'].filter((name) => store.get(name, 'me') !== null);
  return { clock, store, names };
}

describe('the store', () => {
  test('gives back what it was given, to its owner alone', () => {
    const { store } = storeOf({});
    store.put('a', 'me', kept('a'));
    expect(store.get('a', 'me')).toEqual(kept('a'));
    expect(store.get('a', 'you')).toBeNull();
    expect(store.delete('a', 'you')).toBeFalse();
    expect(store.delete('a', 'me')).toBeTrue();
    expect(store.delete('a', 'me')).toBeFalse();
    expect(store.get('a', 'me')).toBeNull();
  });

  test('a conversation may be longer than a request', () => {
    const { store } = storeOf({ bytesMax: 1_000_000 });
    const long = Array.from({ length: limit.messageCountMax + 1 }, () => items).flat();
    store.put('a', 'me', { body: {}, items: long, inputCount: 1 });
    expect(store.get('a', 'me')?.items).toHaveLength(long.length);
  });

  test.each([{ countMax: 2 }, { bytesMax: 2 * bytes }])('%j: the least used goes', (bounds) => {
    const { store, names } = storeOf(bounds);
    store.put('a', 'me', kept('a'));
    store.put('b', 'me', kept('b'));
    store.get('a', 'me');
    store.put('c', 'me', kept('c'));
    expect(names()).toEqual(['a', 'c']);
  });

  test('what is too large for it is not kept, and drives nothing out', () => {
    const { store, names } = storeOf({ bytesMax: 2 * bytes });
    store.put('a', 'me', kept('a'));
    store.put('b', 'me', kept('b'.repeat(bytes)));
    expect(names()).toEqual(['a']);
  });

  test('what is deleted, replaced or too old leaves its room', () => {
    const { clock, store, names } = storeOf({ bytesMax: 2 * bytes });
    for (let round = 0; round < 3; round++) {
      store.put('a', 'me', kept('a'));
      store.put('b', 'me', kept('b'));
      store.delete('b', 'me');
    }
    store.put('b', 'me', kept('b'));
    expect(names()).toEqual(['a', 'b']);
    clock.advance(999);
    store.get('a', 'me');
    clock.advance(1);
    expect(names()).toEqual([]);
    store.put('b', 'me', kept('b'));
    store.put('c', 'me', kept('c'));
    expect(names()).toEqual(['b', 'c']);
  });
});

test('an owner is known by the credentials of the request', () => {
  const owners = [{}, { authorization: 'a' }, { 'x-api-key': 'a' }, { authorization: 'b' }];
  expect(new Set(owners.map((headers) => ownerOf(new Headers(headers)))).size).toBe(4);
  expect(ownerOf(new Headers({ authorization: 'a', accept: 'x' }))).toBe(
    ownerOf(new Headers({ authorization: 'a' })),
  );
});
