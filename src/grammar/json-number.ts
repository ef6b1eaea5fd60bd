// Numbers between bounds, digit by digit. No exponents here: the digits alone must say how large it is.

import { Fault } from '../std/fault.ts';
import {
  chars,
  choice,
  type Expression,
  nothing,
  optional,
  repeat,
  sequence,
  text,
} from './expression.ts';
import { digit, fewDigits } from './json-text.ts';

export type Bound = { readonly value: number; readonly isExclusive: boolean };
export type Bounds = { readonly min: Bound | null; readonly max: Bound | null };

/** Where there is no bound: 15 digits. */
const far = 999_999_999_999_999;
const never = chars([]);

export function integerBetween(bounds: Bounds): Expression {
  const { min, max } = within(bounds);
  const lo = min.isExclusive ? Math.floor(min.value) + 1 : Math.ceil(min.value);
  const hi = max.isExclusive ? Math.ceil(max.value) - 1 : Math.floor(max.value);
  return choice(
    lo < 0 ? sequence(text('-'), naturals(Math.max(1, -hi), -lo)) : never,
    naturals(Math.max(0, lo), hi),
  );
}

export function numberBetween(bounds: Bounds): Expression {
  const { min: lo, max: hi } = within(bounds);
  const flip = ({ value, isExclusive }: Bound): Bound => ({ value: -value, isExclusive });
  const zero = { value: 0, isExclusive: false };
  const aboveZero = { value: 0, isExclusive: true };
  return choice(
    lo.value < 0
      ? sequence(text('-'), reals(hi.value < 0 ? flip(hi) : aboveZero, flip(lo)))
      : never,
    hi.value >= 0 ? reals(lo.value < 0 ? zero : lo, hi) : never,
  );
}

/** Bounds farther out than 15 digits are those of 15 digits. */
function within({ min, max }: Bounds): { readonly min: Bound; readonly max: Bound } {
  const farthest = { value: far, isExclusive: false };
  const lo = min === null || min.value < -far ? { ...farthest, value: -far } : min;
  const hi = max === null || max.value > far ? farthest : max;
  for (const { value } of [lo, hi]) {
    if (Math.abs(value) <= far && !String(value).includes('e')) continue;
    throw new Fault(
      'invalid_request',
      `the bound ${value} is not supported; numbers are written with up to 15 digits before the ` +
        'point and no exponent',
    );
  }
  return { min: lo, max: hi };
}

/** Integers from `lo` ≥ 0 to `hi`. */
function naturals(lo: number, hi: number): Expression {
  if (lo > hi) return never;
  const options: Expression[] = [];
  for (let length = String(lo).length; length <= String(hi).length; length++) {
    const least = Math.max(lo, length === 1 ? 0 : 10 ** (length - 1));
    const most = Math.min(hi, 10 ** length - 1);
    options.push(sameLength(String(least), String(most)));
  }
  return choice(...options);
}

/** Digits between two equally long numbers. */
function sameLength(lo: string, hi: string): Expression {
  if (lo === '') return nothing;
  if (/^0*$/.test(lo) && /^9*$/.test(hi)) return repeat(digit, lo.length, lo.length);
  const [a, b] = [Number(lo[0]), Number(hi[0])];
  const [restA, restB] = [lo.slice(1), hi.slice(1)];
  if (a === b) return sequence(text(String(a)), sameLength(restA, restB));
  const free = restA.length;
  return choice(
    sequence(text(String(a)), sameLength(restA, '9'.repeat(free))),
    sequence(digits(a + 1, b - 1), repeat(digit, free, free)),
    sequence(text(String(b)), sameLength('0'.repeat(free), restB)),
  );
}

function digits(lo: number, hi: number): Expression {
  return chars(lo <= hi ? [[0x30 + lo, 0x30 + hi]] : []);
}

/** The rest of a fraction, up to which it may go or from which it must. */
type Edge = { readonly rest: string; readonly isExclusive: boolean };

/** Decimals from `lo` ≥ 0 to `hi`. */
function reals(lo: Bound, hi: Bound): Expression {
  const isEmpty =
    lo.value > hi.value || (lo.value === hi.value && (lo.isExclusive || hi.isExclusive));
  if (isEmpty) return never;
  const [a, b] = [parts(lo), parts(hi)];
  if (a.whole === b.whole) return sequence(text(String(a.whole)), point(a.edge, b.edge));
  return choice(
    sequence(text(String(a.whole)), point(a.edge, null)),
    sequence(naturals(a.whole + 1, b.whole - 1), optional(sequence(text('.'), digit, fewDigits))),
    sequence(text(String(b.whole)), point(null, b.edge)),
  );
}

function parts({ value, isExclusive }: Bound): { readonly whole: number; readonly edge: Edge } {
  const [whole = '0', rest = ''] = String(value).split('.');
  return { whole: Number(whole), edge: { rest, isExclusive } };
}

/** Nothing or a point and digits, so that the fraction lies between the edges. */
function point(from: Edge | null, to: Edge | null): Expression {
  const canEnd = mayEnd(from, to) ? [nothing] : [];
  return choice(...canEnd, sequence(text('.'), step(from, to)));
}

/** Whether no further digits are all right: they would be zeros. */
function mayEnd(from: Edge | null, to: Edge | null): boolean {
  const isZero = (rest: string): boolean => /^0*$/.test(rest);
  if (from !== null && (from.isExclusive || !isZero(from.rest))) return false;
  return to === null || !to.isExclusive || !isZero(to.rest);
}

/** One digit, and what may follow it. */
function step(from: Edge | null, to: Edge | null): Expression {
  if (from === null && to === null) return sequence(digit, fewDigits);
  const first = (edge: Edge | null, otherwise: number): number =>
    edge === null ? otherwise : Number(edge.rest[0] ?? '0');
  const [a, b] = [first(from, -1), first(to, 10)];
  const next = (edge: Edge | null): Edge | null =>
    edge === null ? null : { ...edge, rest: edge.rest.slice(1) };
  const goOn = (value: number, low: Edge | null, high: Edge | null): Expression => {
    const canEnd = mayEnd(low, high) ? [nothing] : [];
    // Beyond the bounds' own digits: above an excluded one some digit is not zero, below the end there is none.
    const rest =
      low !== null && low.rest === '' && high === null
        ? low.isExclusive
          ? sequence(repeat(text('0'), 0, 10), digits(1, 9), fewDigits)
          : fewDigits
        : high !== null && high.rest === '' && low === null
          ? never
          : low?.rest === '' && high?.rest === ''
            ? never
            : step(low, high);
    return sequence(text(String(value)), choice(...canEnd, rest));
  };
  if (a === b) return goOn(a, next(from), next(to));
  return choice(
    a >= 0 ? goOn(a, next(from), null) : never,
    sequence(digits(Math.max(0, a + 1), Math.min(9, b - 1)), fewDigits),
    b <= 9 ? goOn(b, null, next(to)) : never,
  );
}
