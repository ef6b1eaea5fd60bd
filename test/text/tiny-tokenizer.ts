// A tokenizer small enough to reason about: every byte is a token (id = byte), then a few merges,
// then the specials of ChatML. Built by code, in the format of the Hugging Face library.

import type { TextAssets } from '../../src/protocol/request.ts';

const merges = [
  ['h', 'e'],
  ['l', 'l'],
  ['he', 'll'],
  ['hell', 'o'],
  ['Ġ', 'w'],
  ['Ġw', 'o'],
] as const;

const specials = ['<|im_start|>', '<|im_end|>', '<|endoftext|>'] as const;

/** Id of the special token at `index` in `specials`: after the bytes and the merges. */
export const imStartId = 256 + merges.length;
export const imEndId = imStartId + 1;
export const endOfTextId = imStartId + 2;
export const tinyVocabSize = endOfTextId + 1;

/** GPT-2's printable stand-in for each byte. */
export function byteChars(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(printable(byte) ? byte : next++),
  );
}

export const chatmlTemplate =
  "{% if tools %}{{ '<|im_start|>system\\n' + (tools | tojson) + '<|im_end|>\\n' }}{% endif %}" +
  '{% for message in messages %}' +
  "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}" +
  '{% endfor %}' +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

export function tinyTokenizerJson(): Record<string, unknown> {
  const vocab: Record<string, number> = {};
  for (const [byte, char] of byteChars().entries()) vocab[char] = byte;
  for (const [index, [left, right]] of merges.entries()) vocab[left + right] = 256 + index;
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specials.map((content, index) => ({
      id: imStartId + index,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: { ...byteLevel, use_regex: true },
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges: merges.map((pair) => pair.join(' ')),
    },
  };
}

export function tinyAssets(chatTemplate: unknown = chatmlTemplate): TextAssets {
  return {
    tokenizer: tinyTokenizerJson(),
    tokenizerConfig: {
      bos_token: null,
      eos_token: '<|im_end|>',
      chat_template: chatTemplate,
      clean_up_tokenization_spaces: true,
    },
  };
}

/** Ids of a text's UTF-8 bytes, one token per byte. */
export function bytesOf(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}
