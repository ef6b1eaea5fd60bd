// A tokenizer as Llama 2's and Gemma's: pieces with `▁` for a space, and a token for each byte that no
// piece covers. Small enough to reason about.

import { loadTokenizer, type Tokenizer } from '../../src/text/tokenizer.ts';

const words = ['▁', '▁the', '▁sun', 'a', 'b', 'é', '€', '日', '😀', 'un', '▁▁'];
const specials = ['<unk>', '<s>', '</s>'];

/** Of byte `b` the id is this + b; the words follow. */
export const firstByteId = specials.length;
export const firstWordId = firstByteId + 256;
export const fallbackVocabSize = firstWordId + words.length;

export function byteFallbackTokenizer(): Tokenizer {
  const hex = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, '0');
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${hex(byte)}>`);
  const vocab = Object.fromEntries([...specials, ...bytes, ...words].map((word, id) => [word, id]));
  const added = specials.map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab,
      merges: [],
    },
  };
  return loadTokenizer({ tokenizer, tokenizerConfig: { eos_token: '</s>' } });
}
