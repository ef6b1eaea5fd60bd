// How an answer's text is read: thoughts first, by the model's own marks, then tool calls, by those of
// the model where it calls as it likes, or in the form of its grammar where a call was demanded. An answer
// that is held to a grammar is so from its first token on: there is no room for thoughts before it, and
// what looks like a call in it is what the client asked for.

import type { ServedModel } from '../protocol/request.ts';
import type { Chance } from '../std/prng.ts';
import { opensThinking, ReasoningParser, reasoningMarkers } from '../text/reasoning.ts';
import { namedCallParser, requiredCallsParser } from '../text/tool/demanded.ts';
import type { ToolParser } from '../text/tool/event.ts';
import { toolMarkers, toolParser } from '../text/tool/parser.ts';
import { type Reading, readingStage, type Said } from './said.ts';
import type { Wish } from './sampling-fields.ts';
import type { Stage } from './stage.ts';
import type { Started } from './start.ts';
import type { ToolUse } from './tool-fields.ts';
import { isTagged } from './tool-grammar.ts';

export type ReadingWish = {
  readonly toolUse: ToolUse | null;
  /** Thoughts are sent; otherwise they are left out. */
  readonly showsReasoning: boolean;
  readonly sampling: Pick<Wish, 'grammar'>;
};

/** Words that must reach the stages, even where they are special tokens. */
export function markersOf({ toolUse }: ReadingWish, served: ServedModel): readonly string[] {
  const isSearched = toolUse !== null && typeof toolUse.choice === 'string';
  const called = isSearched ? (served.toolParser ?? null) : null;
  const thinks = (served.reasoningParser ?? null) !== null;
  return [...(thinks ? reasoningMarkers : []), ...(called === null ? [] : toolMarkers(called))];
}

export function readingStages(
  wish: ReadingWish,
  started: Pick<Started, 'served' | 'text' | 'prompts'>,
  promptIndex: number,
  chance: Chance,
): readonly Stage[] {
  const { toolUse, showsReasoning, sampling } = wish;
  const { served, text } = started;
  const stages: Stage[] = [];
  const isFree = sampling.grammar === null;
  if (isFree && (served.reasoningParser ?? null) !== null) {
    const end = (started.prompts[promptIndex] ?? []).slice(-endTokens);
    const isOpen = opensThinking(text.tokenizer.decode(end, { skipSpecial: false }));
    stages.push(readingStage(thoughtReading(new ReasoningParser({ isOpen }), showsReasoning)));
  }
  const isCalling = toolUse !== null && (isFree || toolUse.choice !== 'auto');
  const parser = isCalling ? parserFor(toolUse, served) : null;
  if (toolUse !== null && parser !== null) {
    const newId = (): string => callId(served, chance);
    stages.push(readingStage(callReading(parser, toolUse, newId)));
  }
  return stages;
}

/** Of a prompt: enough for the mark and the blank space around it, even letter by letter. */
const endTokens = 16;

function parserFor({ choice, tools }: ToolUse, served: ServedModel): ToolParser | null {
  const names = tools.map(({ name }) => name);
  const family = served.toolParser ?? null;
  if (choice === 'required' && !isTagged(family)) return requiredCallsParser(names);
  if (typeof choice !== 'string') return namedCallParser(choice.name);
  return family === null ? null : toolParser(family, names);
}

/** Mistral's templates refuse ids of any other form. */
function callId({ toolParser: family }: ServedModel, chance: Chance): string {
  return family === 'mistral' ? chance.id().slice(0, 9) : `call_${chance.id().slice(0, 24)}`;
}

function thoughtReading(parser: ReasoningParser, isShown: boolean): Reading {
  let wasThinking = parser.isThinking;
  return {
    read: (piece) => {
      wasThinking = parser.isThinking;
      const now = parser.push(piece.text);
      const rest = piece.finish === null ? { reasoning: '', text: '' } : parser.flush();
      const reasoning = isShown ? now.reasoning + rest.reasoning : '';
      const text = now.text + rest.text;
      if (reasoning === '') return text === '' ? [] : [{ text }];
      return [{ text, reasoning }];
    },
    thoughtTokens: ({ ids }) => (wasThinking || parser.isThinking ? ids.length : 0),
  };
}

function callReading(
  parser: ToolParser,
  { choice, isParallel }: ToolUse,
  newId: () => string,
): Reading {
  let count = 0;
  return {
    read: (piece) => {
      const { reasoning } = piece;
      const events = parser.push(piece.text);
      if (piece.finish !== null) events.push(...parser.flush());
      const said: Said[] = reasoning === undefined ? [] : [{ text: '', reasoning }];
      for (const event of events) {
        const index = event.kind === 'call' ? count++ : count - 1;
        const isDropped = index > 0 && !isParallel;
        if (event.kind === 'text') said.push({ text: event.text });
        else if (isDropped || event.kind === 'end') continue;
        else if (event.kind === 'arguments') {
          said.push({ text: '', call: { index, begin: null, arguments: event.text } });
        } else {
          const begin = { id: newId(), name: event.name };
          said.push({ text: '', call: { index, begin, arguments: '' } });
        }
      }
      return said;
    },
    // A call that was named is no choice of the model's, so its end is one like any other.
    finish: (finish) =>
      finish === 'stop' && count > 0 && typeof choice === 'string' ? 'tool_calls' : finish,
  };
}
