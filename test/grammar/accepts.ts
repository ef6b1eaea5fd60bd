// Whether a grammar allows a text, byte by byte, without any vocabulary.

import { Automaton, dead } from '../../src/grammar/automaton.ts';
import { compileGrammar } from '../../src/grammar/compile.ts';
import type { GrammarSpec } from '../../src/protocol/grammar.ts';

/** `open`: a beginning of something allowed. */
export type Verdict = 'whole' | 'open' | 'no';

export function judge(spec: GrammarSpec, text: string): Verdict {
  const automaton = new Automaton(compileGrammar(spec));
  let place = automaton.start;
  for (const byte of new TextEncoder().encode(text)) {
    place = automaton.after(place, byte);
    if (place === dead) return 'no';
  }
  return automaton.isComplete(place) ? 'whole' : 'open';
}

export const schemaSpec = (schema: unknown): GrammarSpec => ({
  kind: 'json_schema',
  text: JSON.stringify(schema),
});

/** The message with which it is refused. */
export function refusal(spec: GrammarSpec): string {
  try {
    compileGrammar(spec);
  } catch (thrown) {
    if (thrown instanceof Error) return thrown.message;
  }
  return 'not refused';
}
