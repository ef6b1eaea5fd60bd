// The parser of each family by its name, and the words that it looks for: a tokenizer may count these
// among its special tokens, which otherwise never become text.

import type { ToolParserName } from '../../protocol/request.ts';
import type { ToolNames } from './call.ts';
import type { ToolParser } from './event.ts';
import { type Feed, parserOf, type Steps } from './feed.ts';
import { hermesMarkers, readHermes } from './hermes.ts';
import { llamaMarkers, readLlamaJson } from './llama-json.ts';
import { mistralMarkers, readMistral } from './mistral.ts';

type Family = {
  readonly read: (feed: Feed, tools: ToolNames) => Steps<void>;
  readonly markers: readonly string[];
};

const families: Readonly<Record<ToolParserName, Family>> = {
  hermes: { read: readHermes, markers: hermesMarkers },
  llama3_json: { read: readLlamaJson, markers: llamaMarkers },
  mistral: { read: readMistral, markers: mistralMarkers },
};

/** @param tools names that may be called; a call of any other is text. */
export function toolParser(
  name: ToolParserName,
  tools: Iterable<string>,
  heldCharsMax?: number,
): ToolParser {
  const names = new Set(tools);
  return parserOf((feed) => families[name].read(feed, names), heldCharsMax);
}

export function toolMarkers(name: ToolParserName): readonly string[] {
  return families[name].markers;
}
