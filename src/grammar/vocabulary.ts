// A tokenizer's tokens as a tree of bytes in flat arrays, so that all tokens which may follow can be
// found in one walk. Made once per process from tokenizer.json, in a thread of its own
// (role/vocabulary-thread.ts): a vocabulary of 128 k takes a quarter of a second.
//
//   nodes in order of the tree's text     a    ab   abc  b
//   depth                                 1    2    3    1
//   byte                                  a    b    c    b
//   skip (first node behind the branch)   3    3    3    4

/** Tokens of similar length: their nodes, each with the first of its tokens. */
export type TokenTree = {
  /** Longest token in bytes. */
  readonly length: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly depths: Uint16Array<ArrayBuffer>;
  readonly skips: Int32Array<ArrayBuffer>;
  /** −1: the node is only on the way. */
  readonly tokens: Int32Array<ArrayBuffer>;
};

export type Vocabulary = {
  /** Token ids are below this. */
  readonly size: number;
  /** Bytes of all tokens, one after the other; token i's are offsets[i] … offsets[i + 1]. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly offsets: Uint32Array<ArrayBuffer>;
  /** The next token with the same bytes; −1: none. */
  readonly twins: Int32Array<ArrayBuffer>;
  /** Short tokens and long ones: counters matter less to the short ones (grammar/mask.ts). */
  readonly trees: readonly TokenTree[];
};

/** Bytes of a token that is short. */
const shortBytes = 16;
/** No text of a grammar needs longer ones; a node's depth must fit its array, and stay cheap. */
const bytesMax = 256;

/** @param tokens by id; null: never to be chosen as text (special, unused). */
export function makeVocabulary(tokens: readonly (Uint8Array | null)[]): Vocabulary {
  const offsets = new Uint32Array(tokens.length + 1);
  for (const [id, token] of tokens.entries()) {
    offsets[id + 1] = (offsets[id] ?? 0) + (token?.length ?? 0);
  }
  const bytes = new Uint8Array(offsets[tokens.length] ?? 0);
  for (const [id, token] of tokens.entries())
    if (token !== null) bytes.set(token, offsets[id] ?? 0);
  const usable = [...tokens.keys()].filter((id) => {
    const length = tokens[id]?.length ?? 0;
    return length > 0 && length <= bytesMax;
  });
  const bytesOf = (id: number): Uint8Array => tokens[id] ?? new Uint8Array();
  usable.sort((a, b) => Buffer.compare(bytesOf(a), bytesOf(b)) || a - b);
  const twins = new Int32Array(tokens.length).fill(-1);
  const heads: number[] = [];
  let last = -1;
  for (const id of usable) {
    if (last >= 0 && Buffer.compare(bytesOf(last), bytesOf(id)) === 0) twins[last] = id;
    else heads.push(id);
    last = id;
  }
  const isShort = (id: number): boolean => bytesOf(id).length <= shortBytes;
  const trees = [heads.filter(isShort), heads.filter((id) => !isShort(id))];
  return {
    size: tokens.length,
    bytes,
    offsets,
    twins,
    trees: trees.map((ids) => makeTree(ids, bytesOf)),
  };
}

/** @param ids in order of their bytes. */
function makeTree(ids: readonly number[], bytesOf: (id: number) => Uint8Array): TokenTree {
  const bytes: number[] = [];
  const depths: number[] = [];
  const tokens: number[] = [];
  let length = 0;
  let before = new Uint8Array();
  for (const id of ids) {
    const token = bytesOf(id);
    length = Math.max(length, token.length);
    let same = 0;
    while (same < before.length && before[same] === token[same]) same++;
    for (let i = same; i < token.length; i++) {
      bytes.push(token[i] ?? 0);
      depths.push(i + 1);
      tokens.push(i === token.length - 1 ? id : -1);
    }
    before = Uint8Array.from(token);
  }
  return {
    length,
    bytes: Uint8Array.from(bytes),
    depths: Uint16Array.from(depths),
    skips: skipsOf(depths),
    tokens: Int32Array.from(tokens),
  };
}

/** For each node the first one behind its branch: the next that is no deeper. */
function skipsOf(depths: readonly number[]): Int32Array<ArrayBuffer> {
  const skips = new Int32Array(depths.length).fill(depths.length);
  const open: number[] = [];
  for (const [node, depth] of depths.entries()) {
    for (let last = open.at(-1); last !== undefined; last = open.at(-1)) {
      if ((depths[last] ?? 0) < depth) break;
      skips[last] = node;
      open.pop();
    }
    open.push(node);
  }
  return skips;
}
