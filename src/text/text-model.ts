// A model's text side: its tokenizer and chat template, built once from the files that its workers
// announce and kept by their digest, the least recently used forgotten first.

import { limit } from '../protocol/limit.ts';
import type { ServedModel, TextAssets } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import { Detokenizer, type SpecialOptions } from './detokenizer.ts';
import { Literal } from './literal.ts';
import { reasoningMarkers } from './reasoning.ts';
import { type ChatTemplate, loadChatTemplate, type TemplateInput } from './template.ts';
import { type EncodeOptions, loadTokenizer, type Tokenizer } from './tokenizer.ts';

/** Words, characters of several bytes, and a word too long to be merged in one look. */
const warmText = `What is it? 日本語 naïve 😀 ${'ab'.repeat(400)}${'語'.repeat(200)}`;

/** A template writes special tokens itself: adding them again would double `bos_token`. */
const bare: EncodeOptions = { addSpecialTokens: false };

/** Token ids of a text, made elsewhere: this thread goes on meanwhile. */
export type LongEncoder = {
  /** As the tokenizer's `encodeParts` does. */
  encode(parts: readonly string[], options: EncodeOptions): Promise<number[]>;
  stop(): void;
};

export class TextModel {
  readonly tokenizer: Tokenizer;
  readonly #template: ChatTemplate | null;
  /** Special tokens that a client's text must not become. */
  readonly #guarded: readonly string[];
  readonly #long: LongEncoder | null;

  /** @param long for texts of more than `limit.inlineChars`; null: they are encoded here. */
  constructor(assets: TextAssets, long: LongEncoder | null = null) {
    this.#long = long;
    this.tokenizer = loadTokenizer(assets);
    this.#template = loadChatTemplate(assets.tokenizerConfig);
    const { specialIds } = this.tokenizer;
    const words = [...specialIds].map((id) => this.tokenizer.describe(id).text);
    // Templates look for these in earlier answers, and nobody gains by writing them.
    this.#guarded = words.filter((word) => !reasoningMarkers.includes(word));
  }

  /**
   * Token ids of a chat. A prompt that cannot fit `tokensMax`, judged by its characters alone, is
   * refused before the work of tokenising it.
   */
  promptIds(input: TemplateInput, tokensMax: number, options: EncodeOptions = bare): number[] {
    return this.tokenizer.encodeParts(this.#parts(input, tokensMax), options);
  }

  /** The same, and a long prompt holds nobody up. */
  async promptIdsAside(
    input: TemplateInput,
    tokensMax: number,
    options: EncodeOptions = bare,
  ): Promise<number[]> {
    const [ids = []] = await this.#encodeAside([this.#parts(input, tokensMax)], options);
    return ids;
  }

  /**
   * Likewise of texts; special tokens that are written in them are these tokens. Without a limit of tokens
   * their characters are limited.
   */
  async textIdsAside(
    texts: readonly string[],
    tokensMax: number,
    options: EncodeOptions,
  ): Promise<number[][]> {
    for (const text of texts) this.#checkChars(text, tokensMax, 'prompt');
    return await this.#encodeAside(
      texts.map((text) => [text]),
      options,
    );
  }

  /** Nothing is encoded aside after this. */
  stop(): void {
    this.#long?.stop();
  }

  async #encodeAside(
    texts: readonly (readonly string[])[],
    options: EncodeOptions,
  ): Promise<number[][]> {
    const here = (parts: readonly string[]) => this.tokenizer.encodeParts(parts, options);
    const long = this.#long;
    const chars = texts.flat().reduce((sum, { length }) => sum + length, 0);
    if (long === null || chars <= limit.inlineChars) return texts.map(here);
    // Without the other thread it is only slower for everybody else.
    return await Promise.all(
      texts.map((parts) => long.encode(parts, options).catch(() => here(parts))),
    );
  }

  /** Parts of a chat's text, no special token in them but the template's own. */
  #parts(input: TemplateInput, tokensMax: number): readonly string[] {
    if (this.#template === null) {
      throw new Fault(
        'invalid_request',
        'This model has no chat template, so it cannot answer a chat. Use a model whose ' +
          'tokenizer_config.json has `chat_template`.',
        { param: 'model' },
      );
    }
    const literal = new Literal(this.#guarded, input);
    const text = this.#template.render(literal.protect(input));
    this.#checkChars(text, tokensMax, 'messages');
    return literal.split(text);
  }

  /** Ids of those of `words` that the tokenizer has as a token. */
  idsOf(words: readonly string[]): ReadonlySet<number> {
    const ids = words.map((word) => this.tokenizer.idOf(word));
    return new Set(ids.filter((id) => id !== undefined));
  }

  #checkChars(text: string, tokensMax: number, param: string): void {
    if (!Number.isFinite(tokensMax) && text.length > limit.tokenizeCharsMax) {
      const most = `at most ${limit.tokenizeCharsMax} are made tokens at once`;
      throw new Fault(
        'invalid_request',
        `The ${param} have ${text.length} characters; ${most}. Send less text.`,
        { param },
      );
    }
    const tokensMin = Math.ceil(text.length / this.tokenizer.tokenCharsMax);
    if (tokensMin > tokensMax) throw contextFault(`at least ${tokensMin}`, tokensMax, param);
  }

  /** Runs everything once: the first run of code is several times slower than the next. */
  warmUp(): void {
    const messages = [{ role: 'user', content: 'What is the capital of France?' }];
    for (let i = 0; i < 3; i++) {
      const text = this.#template?.render({ messages, tools: null, addGenerationPrompt: true });
      const ids = this.tokenizer.encode(text ?? 'warm', { addSpecialTokens: false });
      this.tokenizer.encode(warmText, { addSpecialTokens: false });
      const detokenizer = this.detokenizer();
      for (const id of ids) detokenizer.push(id);
    }
  }

  detokenizer(options: SpecialOptions = { skipSpecial: true }): Detokenizer {
    return new Detokenizer(this.tokenizer, options);
  }
}

/** The prompt leaves no room for a single token of answer. */
export function contextFault(
  promptTokens: string,
  contextTokens: number,
  param = 'messages',
): Fault {
  return new Fault(
    'context_length',
    `The prompt has ${promptTokens} tokens. This model's context length is ${contextTokens} ` +
      `tokens for prompt and answer together, so a prompt may have ${contextTokens - 1}. ` +
      `Shorten the ${param}.`,
    { param },
  );
}

export class TextModelCache {
  readonly #load: (model: ServedModel) => Promise<TextAssets>;
  readonly #countMax: number;
  readonly #openEncoder: ((assets: TextAssets) => LongEncoder) | undefined;
  /** By digest, oldest use first. Concurrent callers share one load. */
  readonly #models = new Map<string, Promise<TextModel>>();

  constructor(
    load: (model: ServedModel) => Promise<TextAssets>,
    options: {
      readonly countMax?: number;
      readonly openEncoder?: (assets: TextAssets) => LongEncoder;
    } = {},
  ) {
    this.#load = load;
    this.#countMax = options.countMax ?? 8;
    this.#openEncoder = options.openEncoder;
  }

  /** Whether it is here or on its way. */
  has(model: ServedModel): boolean {
    return this.#models.has(model.textDigest);
  }

  get(model: ServedModel): Promise<TextModel> {
    const key = model.textDigest;
    const found = this.#models.get(key) ?? this.#start(model);
    this.#models.delete(key);
    this.#models.set(key, found);
    for (const [oldest, forgotten] of this.#models) {
      if (this.#models.size <= this.#countMax) break;
      this.#models.delete(oldest);
      forgotten.then((old) => old.stop()).catch(() => undefined); // it had failed to load
    }
    return found;
  }

  #start(model: ServedModel): Promise<TextModel> {
    const loading = this.#load(model).then(
      (assets) => new TextModel(assets, this.#openEncoder?.(assets)),
    );
    // A load that failed is not kept: the next caller tries again.
    loading.catch(() => {
      if (this.#models.get(model.textDigest) === loading) this.#models.delete(model.textDigest);
    });
    return loading;
  }
}
