// What each token of a vocabulary stands for, as bytes, for grammars. Null where a token is no text:
// special tokens and ids that nobody uses. Reads the files alone and builds no tokenizer: the workers'
// side, where no text is made.

import { utf8, wordBytesOf } from './token-bytes.ts';

export function tokenBytes(files: {
  readonly tokenizer: unknown;
  readonly tokenizerConfig: unknown;
}): (Uint8Array | null)[] {
  const tokenizer = objectOf(files.tokenizer);
  const config = objectOf(files.tokenizerConfig);
  const bytesOf = wordBytesOf(tokenizer['decoder']);
  const tokens: (Uint8Array | null)[] = [];
  const put = (id: number, bytes: Uint8Array | null): void => {
    while (tokens.length <= id) tokens.push(null);
    tokens[id] = bytes;
  };
  for (const [word, id] of vocabularyOf(objectOf(tokenizer['model'])['vocab'])) {
    put(id, Uint8Array.from(bytesOf(word)));
  }
  const special = new Set(listOf(config['additional_special_tokens']));
  for (const entry of listOf(tokenizer['added_tokens'])) {
    const { id, content, special: isSpecial } = objectOf(entry);
    if (typeof id !== 'number' || typeof content !== 'string') continue;
    const isText = isSpecial !== true && !special.has(content);
    put(id, isText ? Uint8Array.from(utf8(content)) : null);
  }
  return tokens;
}

/** BPE and WordPiece name ids, Unigram lists [word, score]. */
function vocabularyOf(vocab: unknown): [string, number][] {
  if (Array.isArray(vocab)) {
    return vocab.map((entry: unknown, id) => [String(Array.isArray(entry) ? entry[0] : ''), id]);
  }
  return Object.entries(objectOf(vocab)).flatMap(([word, id]): [string, number][] =>
    typeof id === 'number' ? [[word, id]] : [],
  );
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
