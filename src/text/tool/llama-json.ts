// `{"name": …, "parameters": {…}}` as the whole answer, several with `;` between them, or behind
// `<|python_tag|>` anywhere: Llama 3.1 and later. Without the tag an object is a call only at the
// beginning and only with a call's members, so that an answer in JSON stays one.

import { readCall, type ToolNames } from './call.ts';
import { type Feed, readMarker, readText, type Steps } from './feed.ts';
import { skipSpace } from './json.ts';

const tag = '<|python_tag|>';
export const llamaMarkers = [tag];

export function* readLlamaJson(feed: Feed, tools: ToolNames): Steps<void> {
  let isTagged = false;
  for (;;) {
    yield* skipSpace(feed);
    if (!isTagged) isTagged = yield* readMarker(feed, tag);
    yield* skipSpace(feed);
    if (yield* readCall(feed, tools, { isMarked: isTagged })) {
      yield* skipSpace(feed);
      yield* readMarker(feed, ';');
      isTagged = false;
      continue;
    }
    feed.release();
    if (!(yield* readText(feed, tag))) return;
    isTagged = true;
  }
}
