import { describe, expect, test } from 'bun:test';
import {
  assert,
  Fault,
  faultCharsMax,
  sentence,
  toFault,
  unreachable,
} from '../../src/std/fault.ts';

test('a sentence ends once', () => {
  const texts = ['refused', 'refused.', 'In use?', ''];
  expect(texts.map(sentence)).toEqual(['refused.', 'refused.', 'In use?', '.']);
});

describe('Fault', () => {
  test('carries code, message, field and cause', () => {
    const cause = new Error('below');
    const fault = new Fault('invalid_request', 'no', { param: 'top_p', cause });
    expect(fault).toBeInstanceOf(Error);
    expect([fault.name, fault.code, fault.message, fault.param]).toEqual([
      'Fault',
      'invalid_request',
      'no',
      'top_p',
    ]);
    expect(fault.cause).toBe(cause);
  });

  test('its message is bounded, whatever it quotes', () => {
    const { message } = new Fault('plane', 'x'.repeat(100_000));
    expect([message.length, message.slice(-2)]).toEqual([faultCharsMax, 'x…']);
  });

  test('without a cause has none, not an undefined one', () => {
    expect('cause' in new Fault('engine', 'x')).toBeFalse();
  });
});

describe('toFault', () => {
  test('keeps what is a Fault already', () => {
    const fault = new Fault('mismatch', 'x');
    expect(toFault(fault, 'transfer')).toBe(fault);
  });

  test('wraps anything else, its text and cause kept', () => {
    const error = new RangeError('too far');
    const fault = toFault(error);
    expect([fault.code, fault.message]).toEqual(['internal', 'too far']);
    expect(fault.cause).toBe(error);
    expect(toFault('text', 'engine').message).toBe('text');
    expect(toFault(undefined, 'engine').code).toBe('engine');
  });
});

test('assertions are errors, never Faults', () => {
  expect(() => assert(1 < 2, 'fine')).not.toThrow();
  expect(() => assert(false, 'broken')).toThrow('assertion failed: broken');
  // A member that the types do not know, as a later version's message would have it.
  expect(() => unreachable({ type: 'new' } as never)).toThrow('{"type":"new"}');
});
