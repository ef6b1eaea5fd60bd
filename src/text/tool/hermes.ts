// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, one after the other, text between them: Hermes,
// Qwen 2.5 and 3, and many that learned from these.

import { readCall, type ToolNames } from './call.ts';
import { type Feed, readMarker, readText, type Steps } from './feed.ts';
import { skipSpace } from './json.ts';

const opening = '<tool_call>';
const closing = '</tool_call>';
export const hermesMarkers = [opening, closing];

export function* readHermes(feed: Feed, tools: ToolNames): Steps<void> {
  while (yield* readText(feed, opening)) {
    while (yield* readMarked(feed, tools));
    feed.release();
  }
}

/** The call behind an opening mark. True: behind it the next one is open, instead of this one closed. */
function* readMarked(feed: Feed, tools: ToolNames): Steps<boolean> {
  yield* skipSpace(feed);
  if (!(yield* readCall(feed, tools, { isMarked: true }))) return false;
  yield* skipSpace(feed);
  // A model may stop without closing: the call stands all the same.
  if (!(yield* readMarker(feed, '<'))) return false;
  if ((yield* feed.peek()) !== '/') return yield* readMarker(feed, opening.slice(1));
  if (yield* readMarker(feed, closing.slice(1))) feed.forget();
  return false;
}
