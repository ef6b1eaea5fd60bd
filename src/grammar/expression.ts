// What every front end (JSON schema, regular expression, EBNF, choice) makes and grammar/program.ts
// reads: expressions over code points, under names where they recur.

import type { CharSet } from './char-set.ts';

export type Expression =
  /** One code point of the set. An empty set matches nothing at all. */
  | { readonly kind: 'chars'; readonly set: CharSet }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'sequence'; readonly parts: readonly Expression[] }
  | { readonly kind: 'choice'; readonly options: readonly Expression[] }
  /** `max` may be infinite. */
  | {
      readonly kind: 'repeat';
      readonly body: Expression;
      readonly min: number;
      readonly max: number;
    }
  | { readonly kind: 'rule'; readonly name: string };

export type Rules = {
  readonly start: string;
  readonly rules: ReadonlyMap<string, Expression>;
};

export const nothing: Expression = { kind: 'text', text: '' };

export function chars(set: CharSet): Expression {
  return { kind: 'chars', set };
}

export function text(value: string): Expression {
  return { kind: 'text', text: value };
}

export function sequence(...parts: readonly Expression[]): Expression {
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : { kind: 'sequence', parts };
}

export function choice(...options: readonly Expression[]): Expression {
  const [only] = options;
  return options.length === 1 && only !== undefined ? only : { kind: 'choice', options };
}

export function repeat(body: Expression, min: number, max: number): Expression {
  return min === 1 && max === 1 ? body : { kind: 'repeat', body, min, max };
}

export function optional(body: Expression): Expression {
  return repeat(body, 0, 1);
}

export function rule(name: string): Expression {
  return { kind: 'rule', name };
}

/** Exactly one of the texts. Common beginnings are shared, so thousands cost no more than their sum. */
export function oneOf(texts: readonly string[]): Expression {
  return shared([...new Set(texts)].sort());
}

/** @param texts sorted, each once. */
function shared(texts: readonly string[]): Expression {
  const [first = ''] = texts;
  if (texts.length === 1) return text(first);
  const last = texts.at(-1) ?? '';
  const common = commonLength(first, last);
  const rest = texts.map((entry) => entry.slice(common));
  const options: Expression[] = [];
  let begin = 0;
  if (rest[0] === '') {
    options.push(nothing);
    begin = 1;
  }
  while (begin < rest.length) {
    const head = rest[begin]?.codePointAt(0);
    let end = begin + 1;
    while (end < rest.length && rest[end]?.codePointAt(0) === head) end++;
    options.push(shared(rest.slice(begin, end)));
    begin = end;
  }
  const branches = choice(...options);
  return common === 0 ? branches : sequence(text(first.slice(0, common)), branches);
}

/** Code units that both begin with; never half of a surrogate pair. */
function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length > 0 && /[\ud800-\udbff]/.test(a[length - 1] ?? '') ? length - 1 : length;
}
