// A model's text side: its tokenizer and chat template, built once from the files that its workers
// announce and kept by their digest, the least recently used forgotten first.

import { limit } from '../protocol/limit.ts';
import type { ServedModel, TextAssets } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import { Detokenizer } from './detokenizer.ts';
import { type ChatTemplate, loadChatTemplate, type TemplateInput } from './template.ts';
import { loadTokenizer, type Tokenizer } from './tokenizer.ts';

/** Token ids of a text, made elsewhere: this thread goes on meanwhile. */
export type LongEncoder = {
  /** Special tokens written in the text are recognised, none are added. */
  encode(text: string): Promise<number[]>;
  stop(): void;
};

export class TextModel {
  readonly tokenizer: Tokenizer;
  readonly #template: ChatTemplate | null;
  readonly #long: LongEncoder | null;

  /** @param long for texts of more than `limit.inlineChars`; null: they are encoded here. */
  constructor(assets: TextAssets, long: LongEncoder | null = null) {
    this.#long = long;
    this.tokenizer = loadTokenizer(assets);
    this.#template = loadChatTemplate(assets.tokenizerConfig);
  }

  /**
   * Token ids of a chat. A prompt that cannot fit `tokensMax`, judged by its characters alone, is
   * refused before the work of tokenising it.
   */
  promptIds(input: TemplateInput, tokensMax: number): number[] {
    return this.#encode(this.#render(input, tokensMax));
  }

  /** The same, and a long prompt holds nobody up. */
  async promptIdsAside(input: TemplateInput, tokensMax: number): Promise<number[]> {
    const text = this.#render(input, tokensMax);
    if (this.#long === null || text.length <= limit.inlineChars) return this.#encode(text);
    // Without the other thread it is only slower for everybody else.
    return await this.#long.encode(text).catch(() => this.#encode(text));
  }

  /** Nothing is encoded after this. */
  stop(): void {
    this.#long?.stop();
  }

  #render(input: TemplateInput, tokensMax: number): string {
    if (this.#template === null) {
      throw new Fault(
        'invalid_request',
        'This model has no chat template, so it cannot answer a chat. Use a model whose ' +
          'tokenizer_config.json has `chat_template`.',
        { param: 'model' },
      );
    }
    const text = this.#template.render(input);
    const tokensMin = Math.ceil(text.length / this.tokenizer.tokenCharsMax);
    if (tokensMin > tokensMax) throw contextFault(`at least ${tokensMin}`, tokensMax);
    return text;
  }

  #encode(text: string): number[] {
    // The template wrote the special tokens itself: adding them again would double `bos_token`.
    return this.tokenizer.encode(text, { addSpecialTokens: false });
  }

  /** Runs everything once: the first run of code is several times slower than the next. */
  warmUp(): void {
    const messages = [{ role: 'user', content: 'What is the capital of France?' }];
    for (let i = 0; i < 3; i++) {
      const text = this.#template?.render({ messages, tools: null, addGenerationPrompt: true });
      const ids = this.tokenizer.encode(text ?? 'warm', { addSpecialTokens: false });
      const detokenizer = this.detokenizer();
      for (const id of ids) detokenizer.push(id);
    }
  }

  detokenizer(options = { skipSpecial: true }): Detokenizer {
    return new Detokenizer(this.tokenizer, options);
  }
}

/** The prompt leaves no room for a single token of answer. */
export function contextFault(promptTokens: string, contextTokens: number): Fault {
  return new Fault(
    'context_length',
    `The prompt has ${promptTokens} tokens. This model's context length is ${contextTokens} ` +
      `tokens for prompt and answer together, so a prompt may have ${contextTokens - 1}. ` +
      'Shorten the messages.',
    { param: 'messages' },
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
