// What 100 KB of text cost to make token ids of, for texts that people send and for those that are dearest
// to merge, by the built-in model's tokenizer in two forms: words of bytes after a regular expression, as
// Llama 3's and Qwen's, and the whole text as one word of characters, as Llama 2's and Gemma's.

import { openModelText } from '../../model/folder.ts';
import { drawAt } from '../../std/prng.ts';
import { loadTokenizer } from '../../text/tokenizer.ts';
import { type Summary, summarize } from '../statistics.ts';
import { demoModel } from './model.ts';
import { type Effort, type Section, summaryRow } from './section.ts';

const textBytes = 100 * 1024;
const encodeMsMost = 100;

const prose = 'The sun is a star, and it gives light and heat to the planets around it. ';
const code =
  'function total(list) {\n    if (list.length === 0) return 0;\n    return list[0];\n}\n\n';
const letters = [...'abcdefghijklmnopqrstuvwxyz'];
const digits = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'];
const spaces = [' ', '  ', '\n', '\t', '\n\n', '        '];

const texts: Readonly<Record<string, () => string>> = {
  prose: () => prose.repeat(textBytes / prose.length),
  code: () => code.repeat(textBytes / code.length),
  CJK: () => drawn((draw) => String.fromCodePoint(0x4e00 + Math.floor(draw * 3000)), 3),
  'one word of drawn letters': () => drawn((draw) => oneOf(letters, draw), 1),
  'one letter': () => 'a'.repeat(textBytes),
  'white space': () => drawn((draw) => oneOf(spaces, draw), 2.5),
  'one emoji': () => '😀'.repeat(textBytes / 4),
  base64: () => drawn((draw) => oneOf(digits, draw), 1),
};

export function measureEncode({ quick }: Effort): Section {
  const rows: string[][] = [];
  const figures: Record<string, Record<string, Summary>> = {};
  const dearest: number[] = [];
  for (const [form, tokenizer] of Object.entries(forms())) {
    const ofForm: Record<string, Summary> = {};
    for (const [name, make] of Object.entries(texts)) {
      const text = make();
      const times: number[] = [];
      for (let i = 0; i < (quick ? 5 : 25); i++) {
        const beganMs = performance.now();
        tokenizer.encode(text, { addSpecialTokens: false });
        times.push(performance.now() - beganMs);
      }
      const summary = summarize(times);
      rows.push(summaryRow(`ids of 100 KB, ${form}: ${name}`, 'ms', summary));
      dearest.push(summary.median);
      ofForm[name] = summary;
    }
    figures[form] = ofForm;
  }
  const name = 'ids of 100 KB, the dearest text, ms';
  const claim = { name, found: Math.max(...dearest), wanted: encodeMsMost, at: 'most' } as const;
  return { rows, claims: [claim], figures: { encode: figures } };
}

function forms() {
  const parse = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));
  const text = openModelText(demoModel.modelName);
  const tokenizer = parse(text.tokenizer);
  const tokenizerConfig = parse(text.tokenizerConfig);
  return {
    bytes: loadTokenizer({ tokenizer, tokenizerConfig }),
    characters: loadTokenizer({ tokenizer: ofCharacters(Object(tokenizer)), tokenizerConfig }),
  };
}

/** The same words, spelled with characters; what has none in the vocabulary is spelled by bytes. */
function ofCharacters(tokenizer: Readonly<Record<string, unknown>>): unknown {
  const model = JSON.parse(JSON.stringify(tokenizer['model']).replaceAll('Ġ', '▁'));
  const count = Object.keys(model.vocab).length;
  for (let byte = 0; byte < 256; byte++) {
    const hex = byte.toString(16).toUpperCase().padStart(2, '0');
    model.vocab[`<0x${hex}>`] = count + byte;
  }
  const normalizer = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const pre = { added_tokens: [], normalizer, pre_tokenizer: null, post_processor: null };
  return { ...tokenizer, ...pre, model: { ...model, byte_fallback: true, fuse_unk: true } };
}

function drawn(piece: (draw: number) => string, pieceBytes: number): string {
  const count = Math.round(textBytes / pieceBytes);
  return Array.from({ length: count }, (_, i) => piece(drawAt(1, i))).join('');
}

function oneOf(pieces: readonly string[], draw: number): string {
  return pieces[Math.floor(draw * pieces.length)] ?? '';
}
