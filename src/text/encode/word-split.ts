// A tokenizer's pre-tokenizer: what cuts a text into words, none of which shares a token with the next. The
// kinds that byte-pair models use, as Hugging Face's tokenizers apply them (the JavaScript library leaves out
// some behaviours and takes U+FEFF for white space). Null: a kind that is not known here.

import * as v from 'valibot';

export type WordSplit = {
  /** @param isFirst whether the text's beginning is the whole text's. */
  split(text: string, isFirst: boolean): readonly string[];
  /** Words stand for their UTF-8 bytes. */
  readonly isByteLevel: boolean;
};

/** A pattern of tokenizer.json as a global regular expression with the `u` flag. */
export type CompilePattern = (source: string) => RegExp;

const behaviorSchema = v.picklist([
  'Isolated',
  'Removed',
  'MergedWithPrevious',
  'MergedWithNext',
  'Contiguous',
]);
type Behavior = v.InferOutput<typeof behaviorSchema>;

const stepSchema = v.variant('type', [
  v.object({
    type: v.literal('Split'),
    pattern: v.union([v.object({ Regex: v.string() }), v.object({ String: v.string() })]),
    behavior: behaviorSchema,
    invert: v.optional(v.boolean(), false),
  }),
  v.object({ type: v.literal('Digits'), individual_digits: v.optional(v.boolean(), false) }),
  v.object({
    type: v.literal('ByteLevel'),
    add_prefix_space: v.optional(v.boolean(), true),
    use_regex: v.optional(v.boolean(), true),
  }),
  v.object({
    type: v.literal('Metaspace'),
    replacement: v.optional(v.string(), '▁'),
    prepend_scheme: v.optional(v.picklist(['always', 'never', 'first']), 'always'),
    split: v.optional(v.boolean(), true),
  }),
]);
type Step = v.InferOutput<typeof stepSchema>;

const schema = v.union([
  v.object({ type: v.literal('Sequence'), pretokenizers: v.array(stepSchema) }),
  stepSchema,
]);

type Apply = (texts: readonly string[], isFirst: boolean) => readonly string[];

const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** @param config `pre_tokenizer` of tokenizer.json. */
export function wordSplitOf(config: unknown, compile: CompilePattern): WordSplit | null {
  if (config === null || config === undefined) {
    return { split: (text) => [text], isByteLevel: false };
  }
  const parsed = v.safeParse(schema, config);
  if (!parsed.success) return null;
  const { output } = parsed;
  const steps = output.type === 'Sequence' ? output.pretokenizers : [output];
  const at = steps.findIndex(({ type }) => type === 'ByteLevel');
  if (at >= 0 && at < steps.length - 1) return null; // what follows would see the bytes' letters
  const applies = steps.map((step) => applyOf(step, compile));
  return {
    split: (text, isFirst) =>
      applies.reduce<readonly string[]>((texts, apply) => apply(texts, isFirst), [text]),
    isByteLevel: at >= 0,
  };
}

function applyOf(step: Step, compile: CompilePattern): Apply {
  switch (step.type) {
    case 'Split': {
      const { pattern, behavior, invert } = step;
      const found =
        'Regex' in pattern ? compile(pattern.Regex) : new RegExp(escaped(pattern.String), 'gu');
      return cutting(found, behavior, invert);
    }
    case 'Digits':
      return cutting(/\p{N}/gu, step.individual_digits ? 'Isolated' : 'Contiguous', false);
    case 'ByteLevel': {
      const cut = step.use_regex ? cutting(compile(gpt2), 'Isolated', false) : null;
      const begun: Apply = step.add_prefix_space
        ? (texts) => texts.map((text) => (text.startsWith(' ') ? text : ` ${text}`))
        : (texts) => texts;
      return cut === null ? begun : (texts, isFirst) => cut(begun(texts, isFirst), isFirst);
    }
    case 'Metaspace':
      return metaspace(step);
  }
}

function metaspace(step: Extract<Step, { type: 'Metaspace' }>): Apply {
  const { replacement, prepend_scheme: scheme } = step;
  const cut = cutting(new RegExp(escaped(replacement), 'gu'), 'MergedWithNext', false);
  return (texts, isFirst) => {
    const spaced = texts.map((text, index) => {
      const replaced = text.replaceAll(' ', replacement);
      const begins = scheme === 'always' || (scheme === 'first' && isFirst && index === 0);
      return begins && !replaced.startsWith(replacement) ? replacement + replaced : replaced;
    });
    return step.split ? cut(spaced, isFirst) : spaced;
  };
}

function cutting(pattern: RegExp, behavior: Behavior, invert: boolean): Apply {
  // Either way nothing is lost and matches stay as they are.
  if (behavior === 'Isolated') return (texts) => texts.flatMap((text) => isolated(text, pattern));
  return (texts) => texts.flatMap((text) => cutAt(text, { pattern, behavior, invert }));
}

function isolated(text: string, pattern: RegExp): readonly string[] {
  const found = text.match(pattern) ?? [];
  let chars = 0;
  for (const { length } of found) chars += length;
  if (chars === text.length) return found; // most patterns match everything: nothing lies between
  return pieces(text, pattern).map(({ piece }) => piece);
}

type Piece = { readonly piece: string; readonly isMatch: boolean };

function pieces(text: string, pattern: RegExp): Piece[] {
  const all: Piece[] = [];
  let doneTo = 0;
  for (const { 0: match, index } of text.matchAll(pattern)) {
    if (doneTo < index) all.push({ piece: text.slice(doneTo, index), isMatch: false });
    if (match !== '') all.push({ piece: match, isMatch: true });
    doneTo = index + match.length;
  }
  if (doneTo < text.length) all.push({ piece: text.slice(doneTo), isMatch: false });
  return all;
}

function cutAt(
  text: string,
  how: { readonly pattern: RegExp; readonly behavior: Behavior; readonly invert: boolean },
): string[] {
  const { behavior, invert } = how;
  const words: string[] = [];
  let wasMatch = false;
  for (const { piece, isMatch: matched } of pieces(text, how.pattern)) {
    const isMatch = matched !== invert;
    if (behavior === 'Removed' && isMatch) continue;
    const joins = words.length > 0 && joinsLast(behavior, { isMatch, wasMatch });
    if (joins) words[words.length - 1] += piece;
    else words.push(piece);
    wasMatch = isMatch;
  }
  return words;
}

function joinsLast(
  behavior: Behavior,
  { isMatch, wasMatch }: { readonly isMatch: boolean; readonly wasMatch: boolean },
): boolean {
  if (behavior === 'Contiguous') return isMatch === wasMatch;
  if (behavior === 'MergedWithPrevious') return isMatch && !wasMatch;
  return behavior === 'MergedWithNext' && !isMatch && wasMatch;
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
