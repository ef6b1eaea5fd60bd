// Calls that a grammar demands: the whole text is a list of calls, or the arguments of the call that
// was named. Only a text that was cut off can be anything else.

import { readCallList } from './call.ts';
import type { ToolParser } from './event.ts';
import { parserOf, readRest } from './feed.ts';
import { skipSpace } from './json.ts';

/**
 * `[{"name": …, "arguments": {…}}, …]`. What was cut off behind whole calls is dropped: nobody asked for
 * text; where no call is whole, it is all that there is to show.
 */
export function requiredCallsParser(tools: Iterable<string>): ToolParser {
  const names = new Set(tools);
  return parserOf(function* (feed) {
    yield* skipSpace(feed);
    if ((yield* readCallList(feed, names)) || feed.hasCalls) feed.forget();
    else feed.release();
    yield* readRest(feed);
  });
}

/** Arguments stream as they come. */
export function namedCallParser(name: string): ToolParser {
  let isBegun = false;
  return {
    push: (piece) => {
      if (piece === '') return [];
      const more = { kind: 'arguments', text: piece } as const;
      if (isBegun) return [more];
      isBegun = true;
      return [{ kind: 'call', name }, more];
    },
    flush: () => (isBegun ? [{ kind: 'end' }] : []),
  };
}
