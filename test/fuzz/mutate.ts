// Valid specimens, spoiled: JSON by its structure (a wrong type for any field, names gone, doubled or
// strange, lists grown), and texts and bytes without regard to what they mean.

import type { Dice } from './dice.ts';
import { anyJson, nested, oddNames, oddNumbers, oddText } from './odd.ts';

/** A copy with one to four changes, each anywhere in it. */
export function spoiled(dice: Dice, specimen: unknown): unknown {
  let value = specimen;
  for (let left = 1 + dice.small(2); left > 0; left--) value = changed(dice, value, 0);
  return value;
}

function changed(dice: Dice, value: unknown, depth: number): unknown {
  const isInner = typeof value === 'object' && value !== null;
  // Deeper fields are as likely as those above them: most schemas are several levels deep.
  if (!isInner || dice.isOneIn(6 + depth)) return other(dice, value);
  if (Array.isArray(value)) return changedList(dice, value, depth);
  return changedObject(dice, Object.entries(value), depth);
}

function changedList(dice: Dice, list: readonly unknown[], depth: number): unknown {
  const at = dice.below(list.length);
  switch (dice.below(5)) {
    case 0:
      return list.toSpliced(at, 1);
    case 1:
      return list.toSpliced(at, 0, anyJson(dice));
    case 2:
      return Array.from(
        { length: dice.small(11) },
        (_, i) => list[i % Math.max(1, list.length)] ?? null,
      );
    default:
      return list.length === 0
        ? [anyJson(dice)]
        : list.with(at, changed(dice, list[at], depth + 1));
  }
}

function changedObject(dice: Dice, entries: readonly [string, unknown][], depth: number): unknown {
  const at = dice.below(entries.length);
  const [name, value] = entries[at] ?? ['x', null];
  if (entries.length === 0) return Object.fromEntries([[dice.pick(oddNames), anyJson(dice)]]);
  switch (dice.below(7)) {
    case 0:
      return Object.fromEntries(entries.toSpliced(at, 1));
    case 1:
      return Object.fromEntries([...entries, [dice.pick(oddNames), anyJson(dice)]]);
    case 2:
      return Object.fromEntries(entries.with(at, [oddText(dice), value]));
    default:
      return Object.fromEntries(entries.with(at, [name, changed(dice, value, depth + 1)]));
  }
}

/** Of the same type and odd, or of another. */
function other(dice: Dice, value: unknown): unknown {
  if (dice.isOneIn(3)) return anyJson(dice);
  switch (typeof value) {
    case 'number':
      return dice.pick([
        dice.pick(oddNumbers),
        value + 1,
        value - 1,
        -value,
        value * 2,
        String(value),
        value + 0.5,
      ]);
    case 'string':
      return dice.pick([
        oddText(dice),
        spoiledText(dice, value),
        value + oddText(dice),
        [value],
        Number(value) || 0,
      ]);
    case 'boolean':
      return dice.pick<unknown>([!value, String(value), Number(value)]);
    default:
      return dice.pick<unknown>([
        anyJson(dice),
        nested(dice, 4 + dice.small(13)),
        [value, value],
        { value },
      ]);
  }
}

/** JSON text of a value, sometimes one that `JSON.stringify` would never write. */
export function jsonText(dice: Dice, value: unknown): string {
  const text = JSON.stringify(value) ?? 'null';
  switch (dice.below(8)) {
    case 0:
      return spoiledText(dice, text);
    case 1: {
      // The first name once more.
      const name = /^\{("(?:[^"\\]|\\.)*":)/.exec(text)?.[1];
      return name === undefined
        ? text
        : `{${name}${JSON.stringify(anyJson(dice))},${text.slice(1)}`;
    }
    case 2:
      return text.replace(/\d+/, () =>
        dice.pick(['1e999', '-1e999', '01', '9'.repeat(400), '1e-999', 'NaN', '+1']),
      );
    default:
      return text;
  }
}

const tokens = [
  '{',
  '}',
  '[',
  ']',
  '(',
  ')',
  '"',
  "'",
  ',',
  ':',
  '\\',
  '\\u',
  '\\ud800',
  '|',
  '*',
  '+',
  '?',
  '.',
  '^',
  '$',
  '-',
  '%}',
  '{%',
  '{{',
  '}}',
  '{#',
  '\n',
  '\r',
  '\u0000',
  '\ufeff',
  '0',
  '9',
  'e9',
  'null',
  '<',
  '>',
  '</',
  '=',
  '::=',
  '#',
  '//',
  '{1000}',
] as const;

/** Pieces cut out, doubled, moved and put in. */
export function spoiledText(dice: Dice, text: string): string {
  let now = text;
  for (let left = 1 + dice.small(3); left > 0; left--) {
    const at = dice.below(now.length + 1);
    const count = dice.small(6);
    const [head, piece, tail] = [
      now.slice(0, at),
      now.slice(at, at + count),
      now.slice(at + count),
    ];
    switch (dice.below(7)) {
      case 0:
        now = head;
        break;
      case 1:
        now = head + tail;
        break;
      case 2:
        now = head + piece.repeat(2 + dice.small(6)) + tail;
        break;
      case 3:
        now = head + oddText(dice) + tail;
        break;
      case 4:
        now = head + dice.pick(tokens).repeat(1 + dice.small(13)) + tail;
        break;
      default:
        now = head + dice.pick(tokens) + tail;
    }
    now = now.slice(0, 200_000);
  }
  return now;
}

const words = [0, 1, 127, 128, 255, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] as const;

/** Flips, cuts, splices, and numbers of all widths at borders. */
export function spoiledBytes(dice: Dice, specimen: Uint8Array): Uint8Array<ArrayBuffer> {
  let bytes = Uint8Array.from(specimen);
  for (let left = 1 + dice.small(3); left > 0; left--) {
    // Heads are small and matter most.
    const at = dice.below(dice.isOneIn(2) ? Math.min(bytes.length, 160) : bytes.length);
    switch (dice.below(7)) {
      case 0:
        bytes = bytes.slice(0, at);
        break;
      case 1:
        bytes = joined(bytes.subarray(0, at), bytes.subarray(at + dice.small(8)));
        break;
      case 2:
        bytes = joined(bytes.subarray(0, at), dice.bytes(dice.small(9)), bytes.subarray(at));
        break;
      case 3:
        bytes = joined(bytes.subarray(0, at), bytes.subarray(dice.below(bytes.length)));
        break;
      case 4:
        putWord(bytes, at, dice.pick(words), dice.pick([1, 2, 4, 8]));
        break;
      default:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << dice.below(8));
    }
  }
  return bytes;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat(parts));
}

function putWord(bytes: Uint8Array, at: number, word: number, width: number): void {
  for (let i = 0; i < width && at + i < bytes.length; i++) {
    bytes[at + i] = i < 4 ? (word >>> (8 * i)) & 0xff : word === 0xffff_ffff ? 0xff : 0;
  }
}
