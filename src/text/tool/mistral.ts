// `[TOOL_CALLS] [{"name": …, "arguments": {…}}, …]`, and what newer models write instead, once for each
// call: `[TOOL_CALLS]name[ARGS]{…}`, with `[CALL_ID]…` before, or without any word between.

import { readArguments, readCallList, type ToolNames } from './call.ts';
import { type Feed, readMarker, readText, type Steps } from './feed.ts';
import { skipSpace, takeIf } from './json.ts';

const opening = '[TOOL_CALLS]';
export const mistralMarkers = [opening, '[ARGS]', '[CALL_ID]'];

export function* readMistral(feed: Feed, tools: ToolNames): Steps<void> {
  while (yield* readText(feed, opening)) {
    yield* skipSpace(feed);
    const isList = (yield* feed.peek()) === '[';
    const isRead = isList ? yield* readCallList(feed, tools) : yield* readNamed(feed, tools);
    if (isRead) feed.forget();
    else feed.release();
  }
}

function* readNamed(feed: Feed, tools: ToolNames): Steps<boolean> {
  const begin = feed.position;
  while (yield* takeIf(feed, isNameChar));
  const name = feed.since(begin);
  if (!tools.has(name)) return false;
  while (yield* readMarker(feed, '[')) {
    const isLast = (yield* feed.peek()) === 'A';
    if (!(yield* readMarker(feed, isLast ? 'ARGS]' : 'CALL_ID]'))) return false;
    if (isLast) break;
    while (yield* takeIf(feed, isNameChar));
  }
  yield* skipSpace(feed);
  return yield* readArguments(feed, name);
}

const isNameChar = (char: string): boolean => /^[A-Za-z0-9_-]$/.test(char);
