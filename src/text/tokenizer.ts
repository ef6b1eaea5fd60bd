// Text ⇄ token ids, by the Hugging Face tokenizer of the model. The only importer of that library:
// its traps (spaces "cleaned up" by default, `decode([])` throws, ids without a word become
// `undefined`, U+FEFF lost from a byte-fallback text) stay in here. Byte-pair models, which nearly all are,
// encode by encode/: the library takes seconds for 100 KB of some texts.

import {
  ByteFallbackDecoder,
  type Decoder as HubDecoder,
  Tokenizer as HubTokenizer,
  SequenceDecoder,
  SplitPreTokenizer,
} from '@huggingface/tokenizers';
import { Fault, toFault } from '../std/fault.ts';
import { BytePairEncoder, bytePairPartsOf } from './encode/byte-pair.ts';
import { textOfBytes, utf8, type WordBytes, wordBytesOf } from './token-bytes.ts';

export type EncodeOptions = {
  /** Those that begin and end a text by the tokenizer's own rules. */
  readonly addSpecialTokens: boolean;
};

export class Tokenizer {
  /** Ids that never become text: `<|im_end|>` and its like. */
  readonly specialIds: ReadonlySet<number>;
  /** The longest word of the vocabulary; `chars / tokenCharsMax` is the fewest tokens possible. */
  readonly tokenCharsMax: number;
  readonly #hub: HubTokenizer;
  /** Null: the library encodes. */
  readonly #encoder: BytePairEncoder | null;
  readonly #wordBytes: WordBytes;
  /** Texts of single ids, special ones shown and not: as many as the vocabulary has at most. */
  readonly #texts = new Map<number, string>();
  readonly #plainTexts = new Map<number, string>();

  constructor(parts: {
    readonly hub: HubTokenizer;
    readonly encoder: BytePairEncoder | null;
    readonly specialIds: ReadonlySet<number>;
    readonly tokenCharsMax: number;
    readonly wordBytes: WordBytes;
  }) {
    this.#hub = parts.hub;
    this.#encoder = parts.encoder;
    this.specialIds = parts.specialIds;
    this.tokenCharsMax = parts.tokenCharsMax;
    this.#wordBytes = parts.wordBytes;
  }

  /** Ids of `text`. Special tokens written in the text are recognised in either case. */
  encode(text: string, options: EncodeOptions): number[] {
    if (text === '') return [];
    if (this.#encoder !== null) return this.#encoder.encode(text, options);
    const encoding = this.#hub.encode(text, { add_special_tokens: options.addSpecialTokens });
    // A character that the vocabulary lacks, with no unknown-token to stand for it, has no id.
    return encoding.ids.filter((id) => Number.isInteger(id));
  }

  /** Ids of one text in parts, each encoded by itself: no token reaches from one into the next. */
  encodeParts(parts: readonly string[], { addSpecialTokens }: EncodeOptions): number[] {
    return parts.flatMap((part, index) =>
      this.encode(part, { addSpecialTokens: addSpecialTokens && index === 0 }),
    );
  }

  /** Text of `ids`. Ids above the vocabulary (padding of the logits) have none. */
  decode(ids: readonly number[], options: { readonly skipSpecial: boolean }): string {
    const [first] = ids;
    if (ids.length > 1 || first === undefined) return this.#decode(ids, options);
    // A stream asks for each of its tokens alone, as the context of the next one.
    const texts = options.skipSpecial ? this.#plainTexts : this.#texts;
    const found = texts.get(first);
    if (found !== undefined) return found;
    const text = this.#decode(ids, options);
    if (texts.size < this.#hub.get_vocab().size) texts.set(first, text);
    return text;
  }

  #decode(ids: readonly number[], options: { readonly skipSpecial: boolean }): string {
    const known = ids.filter(
      (id) =>
        this.#hub.id_to_token(id) !== undefined &&
        !(options.skipSpecial && this.specialIds.has(id)),
    );
    return known.length === 0 ? '' : this.#hub.decode(known, { skip_special_tokens: false });
  }

  /** The token that is spelled so; undefined: there is none. */
  idOf(word: string): number | undefined {
    return this.#hub.token_to_id(word);
  }

  /** What `id` stands for by itself: its bytes, and these as text; null and '' above the vocabulary. */
  describe(id: number): { readonly text: string; readonly bytes: readonly number[] | null } {
    const word = this.#hub.id_to_token(id);
    if (word === undefined) return { text: '', bytes: null };
    const isAdded = this.#hub.get_added_tokens_decoder().has(id);
    const bytes = isAdded ? utf8(word) : this.#wordBytes(word);
    return { text: textOfBytes(bytes), bytes };
  }
}

/** Builds the tokenizer from the parsed tokenizer.json and tokenizer_config.json. */
export function loadTokenizer(files: {
  readonly tokenizer: unknown;
  readonly tokenizerConfig: unknown;
}): Tokenizer {
  const tokenizer = asObject(files.tokenizer, 'tokenizer.json');
  const config = asObject(files.tokenizerConfig, 'tokenizer_config.json');
  const added = Array.isArray(tokenizer['added_tokens']) ? tokenizer['added_tokens'] : [];
  tokenizer['added_tokens'] = added.map(spelledOut);
  const { hub, encoder } = open(tokenizer, config);
  let tokenCharsMax = 1;
  for (const word of hub.get_vocab().keys()) {
    if (typeof word === 'string' && word.length > tokenCharsMax) tokenCharsMax = word.length;
  }
  return new Tokenizer({
    hub,
    encoder,
    specialIds: specialIdsOf(hub, config),
    tokenCharsMax,
    wordBytes: wordBytesOf(tokenizer['decoder']),
  });
}

type Opened = { readonly hub: HubTokenizer; readonly encoder: BytePairEncoder | null };

function open(tokenizer: Record<string, unknown>, config: Record<string, unknown>): Opened {
  try {
    const isOdd = config['remove_space'] === true || config['do_lowercase_and_remove_accent'];
    const parts = isOdd ? null : bytePairPartsOf(tokenizer, compile);
    const { model } = tokenizer;
    // The library's own table of merges takes as much memory as all the rest: nobody needs it then.
    const lean =
      parts === null ? tokenizer : { ...tokenizer, model: { ...Object(model), merges: [] } };
    const hub = new HubTokenizer(lean, { ...config, clean_up_tokenization_spaces: false });
    hub.encode('probe');
    keepMarks(hub.decoder);
    const means = parts && { normalize: normalizerOf(hub), ...framesOf(hub) };
    return { hub, encoder: parts && means && new BytePairEncoder(parts, means) };
  } catch (thrown) {
    throw new Fault(
      'config',
      `reading tokenizer.json: ${toFault(thrown).message}; wanted a file of the Hugging Face ` +
        'tokenizers library. Export the model again with save_pretrained, or pass --tokenizer.',
      { cause: thrown },
    );
  }
}

/** Patterns are written for Oniguruma; the library knows what they mean in JavaScript. */
function compile(source: string): RegExp {
  const { pattern } = new SplitPreTokenizer({
    type: 'Split',
    pattern: { Regex: source },
    behavior: 'Isolated',
    invert: false,
  });
  if (pattern === null) throw new Error(`the pattern ${source} cannot be read`);
  return pattern;
}

function normalizerOf({ normalizer }: HubTokenizer): (text: string) => string {
  return normalizer === null ? (text) => text : (text) => normalizer(text);
}

/** What the post-processor puts around a text. */
function framesOf(hub: HubTokenizer): { readonly begin: number[]; readonly end: number[] } {
  const text = '\u0000text';
  const words = hub.post_processor?.([text], null, true).tokens ?? [text];
  const at = words.indexOf(text);
  if (at < 0) throw new Error('the post_processor leaves the text out');
  const ids = (some: readonly string[]): number[] =>
    some.map((word) => hub.token_to_id(word)).filter((id) => id !== undefined);
  return { begin: ids(words.slice(0, at)), end: ids(words.slice(at + 1)) };
}

/** A byte-order mark is a character like others, and not only at a text's beginning. */
function keepMarks(decoder: HubDecoder | null): void {
  if (decoder instanceof ByteFallbackDecoder) {
    decoder.text_decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  }
  if (decoder instanceof SequenceDecoder) for (const part of decoder.decoders) keepMarks(part);
}

/**
 * A special token is found only where it is spelled to the letter, whatever the file says: normalised
 * text would let others write it, too (text/literal.ts looks for its letters).
 */
function spelledOut(token: unknown): unknown {
  const isSpecial =
    typeof token === 'object' && token !== null && 'special' in token && token.special === true;
  return isSpecial ? { ...token, normalized: false } : token;
}

function specialIdsOf(hub: HubTokenizer, config: Record<string, unknown>): Set<number> {
  const ids = new Set<number>();
  for (const [id, token] of hub.get_added_tokens_decoder()) if (token.special) ids.add(id);
  const additional = config['additional_special_tokens'];
  for (const entry of Array.isArray(additional) ? additional : []) {
    const id = typeof entry === 'string' ? hub.token_to_id(entry) : undefined;
    if (id !== undefined) ids.add(id);
  }
  return ids;
}

function asObject(value: unknown, file: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return { ...value };
  }
  const found = value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value;
  throw new Fault(
    'config',
    `reading ${file}: found ${found}, wanted a JSON object. Take the file from the model's own ` +
      'repository.',
  );
}
