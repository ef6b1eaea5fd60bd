// A request's grammar, in any of its languages → a program. Pure and bounded: the gateway runs it to
// refuse what is wrong before anything is sent, and each worker again, since it trusts nobody.

import type { GrammarSpec } from '../protocol/grammar.ts';
import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import { parseEbnf } from './ebnf.ts';
import { oneOf, type Rules, repeat, rule, sequence, text } from './expression.ts';
import { parseJsonSchema } from './json-schema.ts';
import { jsonRules } from './json-text.ts';
import { type Program, programOf } from './program.ts';
import { parseRegex } from './regex.ts';
import { checkRepeats } from './repeat-check.ts';

/** Throws a Fault `invalid_request` that says what is wrong and where. */
export function compileGrammar(spec: GrammarSpec): Program {
  try {
    return programOf(rulesOf(spec));
  } catch (thrown) {
    // The only one that is ours to expect: recursion over an expression that is too deep.
    if (!(thrown instanceof RangeError)) throw thrown;
    throw new Fault('invalid_request', 'the grammar is nested too deeply', { cause: thrown });
  }
}

function rulesOf(spec: GrammarSpec): Rules {
  switch (spec.kind) {
    case 'json_object':
      return { start: 'object', rules: jsonRules };
    case 'json_schema':
      return wrapped(parseJsonSchema(sized(spec.text)), spec.wrap);
    case 'ebnf':
      return parseEbnf(sized(spec.text));
    case 'regex': {
      const expression = parseRegex(sized(spec.text), { anchored: true });
      checkRepeats(expression);
      return { start: 'root', rules: new Map([['root', expression]]) };
    }
    case 'choice':
      sized(spec.texts.join(''));
      return { start: 'root', rules: new Map([['root', oneOf(spec.texts)]]) };
  }
}

/** `begin json end`, up to so many times. */
function wrapped(json: Rules, wrap: Wrap | undefined): Rules {
  if (wrap === undefined) return json;
  const one = sequence(text(wrap.begin), rule(json.start), text(wrap.end));
  const others = repeat(sequence(text(wrap.separator), one), 0, wrap.countMax - 1);
  return { start: 'wrapped', rules: new Map([...json.rules, ['wrapped', sequence(one, others)]]) };
}

type Wrap = NonNullable<Extract<GrammarSpec, { kind: 'json_schema' }>['wrap']>;

function sized(source: string): string {
  const { grammarCharsMax } = limit;
  if (source.length <= grammarCharsMax) return source;
  throw new Fault(
    'invalid_request',
    `the grammar has ${source.length} characters; at most ${grammarCharsMax} are accepted`,
  );
}
