// One call of a known tool, in the two ways that models write it: as an object with name and
// arguments in either order, or as arguments behind a name. True: it has been told (held text is gone).
// False: it is none; what was read is held, or was streamed before it turned out to be broken.

import { type Feed, readMarker, type Steps } from './feed.ts';
import { readJson, readObject, readString, skipSpace, textOf } from './json.ts';

export type ToolNames = ReadonlySet<string>;

/** Members besides name and arguments that an object may have where nothing else says it is a call. */
const usualMembers: ReadonlySet<string> = new Set(['type', 'id']);

/**
 * `{"name": …, "arguments": {…}}`, or with `parameters`; arguments that are null are none.
 * @param options `isMarked`: a marker announced the call, so other members, or arguments that are
 *   missing, are no reason for doubt.
 */
export function* readCall(
  feed: Feed,
  tools: ToolNames,
  options: { readonly isMarked: boolean },
): Steps<boolean> {
  const draft = new Draft();
  const isWhole = yield* readObject(feed, 0, function* (key) {
    const begin = feed.position;
    if (key === 'name') {
      if (draft.name !== null || !(yield* readString(feed))) return false;
      draft.name = textOf(feed.since(begin));
      return tools.has(draft.name);
    }
    if (key !== 'arguments' && key !== 'parameters') {
      return options.isMarked || usualMembers.has(key) ? yield* readJson(feed, 1) : false;
    }
    if (draft.json !== null) return false;
    if (draft.name !== null && (yield* feed.peek()) === '{') feed.beginArguments(draft.name);
    const isRead = yield* readJson(feed, 1);
    draft.wasStreamed = feed.endArguments();
    draft.json = draft.wasStreamed ? '' : isRead ? objectText(feed.since(begin)) : null;
    return isRead && draft.json !== null;
  });
  if (!isWhole || draft.name === null) return false;
  if (draft.wasStreamed) feed.forget();
  else if (draft.json === null && !options.isMarked) return false;
  else feed.call(draft.name, draft.json ?? '{}');
  return true;
}

class Draft {
  name: string | null = null;
  json: string | null = null;
  wasStreamed = false;
}

/** `{…}`, the arguments of `name`. */
export function* readArguments(feed: Feed, name: string): Steps<boolean> {
  const begin = feed.position;
  feed.beginArguments(name);
  const isWhole = yield* readObject(feed, 0);
  const wasStreamed = feed.endArguments();
  if (isWhole && !wasStreamed) feed.call(name, feed.since(begin));
  return isWhole;
}

/** Arguments as the text of an object; some models write that text into a string. Null: neither. */
function objectText(json: string): string | null {
  if (json.startsWith('{')) return json;
  if (json === 'null') return '{}';
  if (!json.startsWith('"')) return null;
  const text = textOf(json).trim();
  return text.startsWith('{') && isJson(text) ? text : null;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Calls in a list, `[{…}, {…}]`, at least one. */
export function* readCallList(feed: Feed, tools: ToolNames): Steps<boolean> {
  if (!(yield* readMarker(feed, '['))) return false;
  for (;;) {
    yield* skipSpace(feed);
    if (!(yield* readCall(feed, tools, { isMarked: true }))) return false;
    yield* skipSpace(feed);
    if (yield* readMarker(feed, ']')) return true;
    if (!(yield* readMarker(feed, ','))) return false;
  }
}
