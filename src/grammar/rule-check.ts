// Questions about rules that have to be answered before they can run: which may match nothing, which
// begin with themselves (a matcher would call for ever), which can never come to an end.

import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import type { Expression, Rules } from './expression.ts';

export type RuleFacts = {
  /** Rules that may match the empty text. */
  readonly nullable: ReadonlySet<string>;
  /** Rules that match some finite text; whoever enters another one never comes out. */
  readonly ending: ReadonlySet<string>;
};

/** Refuses what cannot run. Rules that are named and absent are the front end's to refuse. */
export function checkRules({ start, rules }: Rules): RuleFacts {
  if (rules.size > limit.grammarRuleMax) {
    const found = `${rules.size} rules (each part of a schema is one)`;
    throw new Fault('invalid_request', `the grammar has ${found}; at most ${limit.grammarRuleMax}`);
  }
  const ending = fixpoint(rules, canEnd);
  if (!ending.has(start)) {
    throw new Fault('invalid_request', 'nothing can match: it has no finite text that it allows');
  }
  const nullable = fixpoint(rules, isNullable);
  const done = new Set<string>();
  for (const name of rules.keys()) findLeft(name, { rules, nullable, done, trail: new Set() });
  return { nullable, ending };
}

/** Rules of which it holds, asked again only when something has changed for them. */
function fixpoint(
  rules: Rules['rules'],
  holds: (expression: Expression, known: ReadonlySet<string>) => boolean,
): Set<string> {
  const known = new Set<string>();
  const askedBy = new Map<string, string[]>();
  for (const [name, expression] of rules) {
    for (const called of calledBy(expression, new Set())) {
      const callers = askedBy.get(called) ?? [];
      callers.push(name);
      askedBy.set(called, callers);
    }
  }
  const open = [...rules.keys()];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const expression = rules.get(name);
    if (expression === undefined || known.has(name) || !holds(expression, known)) continue;
    known.add(name);
    open.push(...(askedBy.get(name) ?? []));
  }
  return known;
}

/** Names of all rules in it. */
function calledBy(expression: Expression, names: Set<string>): Set<string> {
  if (expression.kind === 'rule') names.add(expression.name);
  else if (expression.kind === 'repeat') calledBy(expression.body, names);
  else if (expression.kind === 'sequence')
    for (const part of expression.parts) calledBy(part, names);
  else if (expression.kind === 'choice') for (const one of expression.options) calledBy(one, names);
  return names;
}

export function isNullable(expression: Expression, known: ReadonlySet<string>): boolean {
  switch (expression.kind) {
    case 'text':
      return expression.text === '';
    case 'chars':
      return false;
    case 'sequence':
      return expression.parts.every((part) => isNullable(part, known));
    case 'choice':
      return expression.options.some((option) => isNullable(option, known));
    case 'repeat':
      return expression.min === 0 || isNullable(expression.body, known);
    case 'rule':
      return known.has(expression.name);
  }
}

export function canEnd(expression: Expression, known: ReadonlySet<string>): boolean {
  switch (expression.kind) {
    case 'text':
      return true;
    case 'chars':
      return expression.set.length > 0;
    case 'sequence':
      return expression.parts.every((part) => canEnd(part, known));
    case 'choice':
      return expression.options.some((option) => canEnd(option, known));
    case 'repeat':
      return expression.min === 0 || canEnd(expression.body, known);
    case 'rule':
      return known.has(expression.name);
  }
}

type Search = {
  readonly rules: Rules['rules'];
  readonly nullable: ReadonlySet<string>;
  readonly done: Set<string>;
  /** From where it began to where it is, in order. */
  readonly trail: Set<string>;
};

function findLeft(name: string, search: Search): void {
  const { rules, nullable, done, trail } = search;
  if (trail.has(name)) {
    const names = [...trail];
    const circle = [...names.slice(names.indexOf(name)), name].slice(0, 8).join(' → ');
    throw new Fault(
      'invalid_request',
      `${circle} begins with itself; write it as a repetition, or put something before the recursion`,
    );
  }
  const expression = rules.get(name);
  if (done.has(name) || expression === undefined) return;
  trail.add(name);
  for (const next of leftOf(expression, nullable)) findLeft(next, search);
  trail.delete(name);
  done.add(name);
}

/** Rules that may be called before anything was matched. */
function leftOf(expression: Expression, nullable: ReadonlySet<string>): Set<string> {
  switch (expression.kind) {
    case 'text':
    case 'chars':
      return new Set();
    case 'rule':
      return new Set([expression.name]);
    case 'repeat':
      return expression.max === 0 ? new Set() : leftOf(expression.body, nullable);
    case 'choice':
      return new Set(expression.options.flatMap((option) => [...leftOf(option, nullable)]));
    case 'sequence': {
      const names = new Set<string>();
      for (const part of expression.parts) {
        for (const name of leftOf(part, nullable)) names.add(name);
        if (!isNullable(part, nullable)) break;
      }
      return names;
    }
  }
}
