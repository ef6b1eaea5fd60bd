// Strict JSON (RFC 8259), a character at a time: takes what is JSON and stops before what is not.
// Nothing is built; the text itself is what callers want.

import { limit } from '../../protocol/limit.ts';
import { type Feed, readMarker, type Steps } from './feed.ts';

/** Reads the value of a member whose key was just read. */
export type MemberReader = (key: string) => Steps<boolean>;

export function* readJson(feed: Feed, depth = 0): Steps<boolean> {
  const first = yield* feed.peek();
  switch (first) {
    case '{':
      return yield* readObject(feed, depth);
    case '[':
      return yield* readArray(feed, depth);
    case '"':
      return yield* readString(feed);
    case 't':
      return yield* readMarker(feed, 'true');
    case 'f':
      return yield* readMarker(feed, 'false');
    case 'n':
      return yield* readMarker(feed, 'null');
    default:
      return yield* readNumber(feed);
  }
}

/** @param member reads the values of this object itself (not of those within). */
export function* readObject(feed: Feed, depth: number, member?: MemberReader): Steps<boolean> {
  if (depth >= limit.jsonDepthMax || !(yield* readMarker(feed, '{'))) return false;
  yield* skipSpace(feed);
  if (yield* readMarker(feed, '}')) return true;
  for (;;) {
    const begin = feed.position;
    if (!(yield* readString(feed))) return false;
    const key = member === undefined ? '' : textOf(feed.since(begin));
    yield* skipSpace(feed);
    if (!(yield* readMarker(feed, ':'))) return false;
    yield* skipSpace(feed);
    const value = member === undefined ? readJson(feed, depth + 1) : member(key);
    if (!(yield* value)) return false;
    yield* skipSpace(feed);
    if (yield* readMarker(feed, '}')) return true;
    if (!(yield* readMarker(feed, ','))) return false;
    yield* skipSpace(feed);
  }
}

function* readArray(feed: Feed, depth: number): Steps<boolean> {
  if (depth >= limit.jsonDepthMax || !(yield* readMarker(feed, '['))) return false;
  yield* skipSpace(feed);
  if (yield* readMarker(feed, ']')) return true;
  for (;;) {
    if (!(yield* readJson(feed, depth + 1))) return false;
    yield* skipSpace(feed);
    if (yield* readMarker(feed, ']')) return true;
    if (!(yield* readMarker(feed, ','))) return false;
    yield* skipSpace(feed);
  }
}

export function* readString(feed: Feed): Steps<boolean> {
  if (!(yield* readMarker(feed, '"'))) return false;
  for (;;) {
    const char = yield* feed.peek();
    if (char === null || char < ' ') return false;
    feed.take();
    if (char === '"') return true;
    if (char === '\\' && !(yield* readEscape(feed))) return false;
  }
}

function* readEscape(feed: Feed): Steps<boolean> {
  const char = yield* feed.peek();
  if (char === null || !'"\\/bfnrtu'.includes(char)) return false;
  feed.take();
  if (char !== 'u') return true;
  for (let digits = 0; digits < 4; digits++) {
    if (!(yield* takeIf(feed, isHex))) return false;
  }
  return true;
}

/** A number ends where something else begins: what may follow it is its container's matter. */
function* readNumber(feed: Feed): Steps<boolean> {
  yield* readMarker(feed, '-');
  const isZero = yield* readMarker(feed, '0');
  if (!isZero && !(yield* takeDigits(feed))) return false;
  if ((yield* readMarker(feed, '.')) && !(yield* takeDigits(feed))) return false;
  if (!(yield* takeIf(feed, (char) => char === 'e' || char === 'E'))) return true;
  yield* takeIf(feed, (char) => char === '+' || char === '-');
  return yield* takeDigits(feed);
}

export function* skipSpace(feed: Feed): Steps<void> {
  while (yield* takeIf(feed, isSpace));
}

function* takeDigits(feed: Feed): Steps<boolean> {
  if (!(yield* takeIf(feed, isDigit))) return false;
  while (yield* takeIf(feed, isDigit));
  return true;
}

export function* takeIf(feed: Feed, accepts: (char: string) => boolean): Steps<boolean> {
  const char = yield* feed.peek();
  if (char === null || !accepts(char)) return false;
  feed.take();
  return true;
}

/** The text of a JSON string that was read. */
export function textOf(json: string): string {
  const value: unknown = JSON.parse(json);
  return typeof value === 'string' ? value : '';
}

const isSpace = (char: string): boolean =>
  char === ' ' || char === '\n' || char === '\r' || char === '\t';
const isDigit = (char: string): boolean => char >= '0' && char <= '9';
const isHex = (char: string): boolean => /^[0-9A-Fa-f]$/.test(char);
