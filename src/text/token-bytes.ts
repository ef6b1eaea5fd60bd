// The bytes that a token stands for, whatever its neighbours are: from its word in the vocabulary,
// undone by the kind of decoder that the tokenizer has. Alternatives to a token are shown by these,
// and a token that ends inside a character.

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

export type WordBytes = (word: string) => readonly number[];

/** @param config `decoder` of tokenizer.json. */
export function wordBytesOf(config: unknown): WordBytes {
  const kinds = decoderKinds(config);
  if (kinds.has('ByteLevel')) return byteLevelBytes;
  const bySpace = kinds.has('Metaspace') || kinds.has('Replace');
  return (word) => {
    const byte = kinds.has('ByteFallback') ? /^<0x([0-9A-Fa-f]{2})>$/.exec(word)?.[1] : undefined;
    if (byte !== undefined) return [Number.parseInt(byte, 16)];
    return utf8(bySpace ? word.replaceAll('▁', ' ') : word);
  };
}

export function utf8(text: string): readonly number[] {
  return [...encoder.encode(text)];
}

/** Bytes as text; what is no character becomes U+FFFD. */
export function textOfBytes(bytes: readonly number[]): string {
  return decoder.decode(Uint8Array.from(bytes));
}

function decoderKinds(config: unknown): Set<string> {
  const kinds = new Set<string>();
  if (typeof config !== 'object' || config === null) return kinds;
  if ('type' in config && typeof config.type === 'string') kinds.add(config.type);
  const parts = 'decoders' in config && Array.isArray(config.decoders) ? config.decoders : [];
  for (const part of parts) for (const kind of decoderKinds(part)) kinds.add(kind);
  return kinds;
}

/** GPT-2 writes each byte as a printable character; a word with any other character is plain text. */
function byteLevelBytes(word: string): readonly number[] {
  const bytes: number[] = [];
  for (const char of word) {
    const byte = byteOfChar.get(char);
    if (byte === undefined) return utf8(word);
    bytes.push(byte);
  }
  return bytes;
}

/** By byte: the character that stands for it in the words of byte-level tokenizers. */
export function byteChars(): readonly string[] {
  return [...byteOfChar.keys()];
}

const byteOfChar: ReadonlyMap<string, number> = gpt2Bytes();

/** Printable Latin-1 stands for itself; the other bytes, in order, for U+0100 and on. */
function gpt2Bytes(): Map<string, number> {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  const map = new Map<string, number>();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    map.set(String.fromCodePoint(printable(byte) ? byte : next++), byte);
  }
  return map;
}
