// Grammars of the simulation's requests: tokens in turns out of two sets, so that what may follow depends
// on what is there. Each token but the ends is one letter.

import { makeVocabulary, type Vocabulary } from '../grammar/vocabulary.ts';
import type { GrammarSpec } from '../protocol/grammar.ts';
import type { Ask } from './call.ts';
import type { Dice } from './dice.ts';
import type { PlannedFault } from './fault-plan.ts';
import { eosIds, vocabSize } from './model.ts';
import { expectedOf, type Rule } from './oracle.ts';
import type { Deployment } from './scenario.ts';

const beginMs = 4500;
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const letterOf = (id: number): string => letters.charAt(id - eosIds.length);

export const vocabulary: Vocabulary = makeVocabulary(
  Array.from({ length: vocabSize }, (_, id) =>
    eosIds.includes(id) ? null : new TextEncoder().encode(letterOf(id)),
  ),
);

/** Some of the requests must follow a rule. */
export function withRules(dice: Dice, asks: readonly Ask[]): readonly Ask[] {
  return asks.map((ask) => {
    const rule = drawRule(dice);
    if (!dice.chance(0.5) || ask.refusal !== null) return ask;
    const { promptIds } = ask.request;
    // Ends that are forbidden, and a rule that wants nothing else, are the engine's own tests' business.
    const sampling = { ...ask.request.sampling, minTokens: 0, grammar: specOf(rule) };
    const expected = expectedOf(promptIds, sampling, { vocabSize, eosIds }, rule);
    return { ...ask, request: { ...ask.request, sampling }, expected };
  });
}

/** What may go wrong in the threads of grammars. */
export function drawRuleFaults(
  dice: Dice,
  { workers }: Deployment,
  healMs: number,
): readonly PlannedFault[] {
  const count = dice.whole(0, 3);
  return Array.from({ length: count }, (): PlannedFault => {
    const place = dice.pick(workers)?.place ?? '';
    const atMs = dice.between(beginMs, healMs);
    if (dice.chance(0.6)) return { atMs, kind: 'grammar_crash', place };
    return { atMs, kind: 'grammar_slow', place, forMs: dice.between(500, 8000) };
  });
}

function drawRule(dice: Dice): Rule {
  const drawSet = (): number[] =>
    Array.from({ length: dice.whole(1, 8) }, () => dice.whole(eosIds.length, vocabSize - 1));
  const least = dice.skewed(0, 8);
  const most = dice.chance(0.5) ? 100 : 1 + least + dice.skewed(0, 20);
  return {
    turns: [drawSet(), drawSet()],
    least: Math.floor(least),
    most: Math.floor(most),
  };
}

function specOf({ turns: [first, second], least, most }: Rule): GrammarSpec {
  const set = (ids: readonly number[]): string => `[${ids.map(letterOf).join('')}]`;
  return { kind: 'regex', text: `(${set(first)}${set(second)}){${least},${most}}` };
}
