// What a grammar costs a token at 128,256 tokens: the mask worked out and put over the logits, by the
// first answer with a grammar (cold) and by the next ones (warm), on draws from what is allowed.

import { allowedNext, applyMask } from '../../engine/constraint.ts';
import { compileGrammar } from '../../grammar/compile.ts';
import type { TokenMask } from '../../grammar/guide.ts';
import { Grammar, Matcher } from '../../grammar/matcher.ts';
import { makeVocabulary } from '../../grammar/vocabulary.ts';
import { openModelText } from '../../model/folder.ts';
import type { GrammarSpec } from '../../protocol/grammar.ts';
import { drawAt } from '../../std/prng.ts';
import { tokenBytes } from '../../text/token-list.ts';
import { summarize } from '../statistics.ts';
import { demoModel } from './model.ts';
import { type Effort, type Section, summaryRow } from './section.ts';

const vocabSize = 128_256;
const tokensMax = 300;
const maskMsMost = 0.5;
const eosIds = [0];
const none = new Uint8Array();

const specs: Readonly<Record<string, GrammarSpec>> = {
  'an object of texts, numbers and a list': schema({
    type: 'object',
    properties: {
      name: { type: 'string' },
      age: { type: 'integer', minimum: 0, maximum: 130 },
      mail: { type: 'string', format: 'email' },
      tags: { type: 'array', items: { type: 'string' }, minItems: 8 },
      colour: { enum: ['red', 'green', 'blue'] },
    },
    required: ['name', 'age', 'mail', 'tags', 'colour'],
  }),
  'texts of at most 200 characters': schema({
    type: 'array',
    items: { type: 'string', minLength: 20, maxLength: 200 },
    minItems: 10,
  }),
  'any JSON object': { kind: 'json_object' },
};

export function measureGrammar({ quick }: Effort): Section {
  const tokens = tokensOf(vocabSize);
  const beganMs = performance.now();
  const vocabulary = makeVocabulary(tokens);
  const vocabularyMs = performance.now() - beganMs;
  const rows: string[][] = [];
  const claims: Section['claims'][number][] = [];
  const figures: Record<string, unknown> = { vocabularyMs };
  for (const [name, spec] of Object.entries(specs)) {
    const [cold, warm, worst, compile]: [number[], number[], number[], number[]] = [[], [], [], []];
    for (let seed = 0; seed < (quick ? 3 : 10); seed++) {
      const beganMs = performance.now();
      const program = compileGrammar(spec);
      compile.push(performance.now() - beganMs);
      const grammar = new Grammar(program, vocabulary);
      const first = answer(grammar, seed);
      cold.push(...first);
      worst.push(Math.max(...first));
      warm.push(...answer(grammar, seed + 1000));
    }
    const summary = { cold: summarize(cold), warm: summarize(warm), worst: summarize(worst) };
    rows.push(
      summaryRow(`grammar, 128k, ${name}: compiling`, 'ms', summarize(compile)),
      summaryRow(`grammar, 128k, ${name}: a mask, first answer`, 'ms', summary.cold),
      summaryRow(`grammar, 128k, ${name}: its dearest mask`, 'ms', summary.worst),
      summaryRow(`grammar, 128k, ${name}: a mask, later answers`, 'ms', summary.warm),
    );
    for (const [when, found] of Object.entries({ first: summary.cold, later: summary.warm })) {
      const title = `a mask at 128k, ${name}, ${when} answer, ms`;
      claims.push({ name: title, found: found.median, wanted: maskMsMost, at: 'most' });
    }
    figures[name] = summary;
  }
  return { rows, claims, figures: { grammar: figures } };
}

/** Times of an answer's masks. */
function answer(grammar: Grammar, seed: number): number[] {
  const guide = new Matcher(grammar);
  const logits = new Float32Array(vocabSize);
  const row = { logits, begin: 0, end: vocabSize };
  const ids: number[] = [];
  const times: number[] = [];
  const sequence = { ids, promptLength: 0, sampling: { maxTokens: tokensMax }, guide };
  for (;;) {
    logits.fill(0);
    const beganMs = performance.now();
    const allowed = allowedNext(sequence, eosIds);
    if (allowed === null || typeof allowed === 'string') return times;
    applyMask(row, allowed);
    times.push(performance.now() - beganMs);
    const id = pick(allowed.mask, drawAt(seed, ids.length));
    if (id === null) return times;
    ids.push(id);
  }
}

/** The first allowed token at or after a drawn one; null where none is. */
function pick({ words }: TokenMask, draw: number): number | null {
  const begin = Math.floor(draw * vocabSize);
  for (let i = 0; i < vocabSize; i++) {
    const id = (begin + i) % vocabSize;
    if (((words[id >> 5] ?? 0) >>> (id & 31)) & 1) return id;
  }
  return null;
}

/** The built-in model's tokens, then two or three of them joined. */
function tokensOf(count: number): (Uint8Array | null)[] {
  const parse = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));
  const text = openModelText(demoModel.modelName);
  const tokens = tokenBytes({
    tokenizer: parse(text.tokenizer),
    tokenizerConfig: parse(text.tokenizerConfig),
  });
  const words = tokens.filter((token) => token !== null);
  const seen = new Set(words.map((word) => word.join()));
  for (let i = 0; tokens.length < count; i++) {
    const parts = [0, 1, 2].slice(0, 2 + (i % 2)).map((part) => drawAt(i, part));
    const token = Buffer.concat(
      parts.map((draw) => words[Math.floor(draw * words.length)] ?? none),
    );
    if (token.length > 18 || seen.has(token.join())) continue;
    seen.add(token.join());
    tokens.push(Uint8Array.from(token));
  }
  return tokens;
}

function schema(value: unknown): GrammarSpec {
  return { kind: 'json_schema', text: JSON.stringify(value) };
}
