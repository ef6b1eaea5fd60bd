// A row of logits, the working memory that sampling needs beside it, and its largest value. The row
// is looked at in blocks of 64 where the k largest are wanted: one pass notes each block's maximum, and
// the next reads only the blocks that can have one of them.

/** Logits [vocabSize] inside a larger array. */
export type Row = { readonly logits: Float32Array; readonly begin: number; readonly end: number };

export const blockLength = 64;
/** Of weights (`bucketShift` in candidate.ts). */
export const bucketCount = 2048;

/** Made once per engine; nothing in it outlives a call. */
export type Scratch = {
  /** Maximum of each block of the row that was looked at last. */
  readonly blockMaxima: Float32Array;
  /** Candidates where top_k leaves only some, ascending … */
  readonly ids: Int32Array;
  /** … and where all are: 0, 1, 2, … */
  readonly everyId: Int32Array;
  /** The candidates' weights. */
  readonly weights: Float64Array;
  /** The same memory: two words each, the upper one (sign, exponent) second. */
  readonly weightWords: Uint32Array;
  /** Sum of weights by bucket. */
  readonly bucketWeights: Float64Array;
  /** A second such pair, put out of order by selecting. */
  readonly pickIds: Int32Array;
  readonly pickWeights: Float64Array;
  /** How often each id occurs; all 0 between calls. */
  readonly counts: Int32Array;
  /** The row as the model left it, where log-probabilities are wanted. */
  readonly raw: Float32Array;
};

export function createScratch(vocabSize: number): Scratch {
  const weights = new Float64Array(vocabSize);
  return {
    blockMaxima: new Float32Array(Math.ceil(vocabSize / blockLength)),
    ids: new Int32Array(vocabSize),
    everyId: Int32Array.from({ length: vocabSize }, (_, id) => id),
    weights,
    weightWords: new Uint32Array(weights.buffer),
    bucketWeights: new Float64Array(bucketCount),
    pickIds: new Int32Array(vocabSize),
    pickWeights: new Float64Array(vocabSize),
    counts: new Int32Array(vocabSize),
    raw: new Float32Array(vocabSize),
  };
}

/** Id of the largest logit, the first of equals. */
export function findBest({ logits, begin, end }: Row): number {
  let best = Number.NEGATIVE_INFINITY;
  let bestAt = begin; // nothing but NaN: this one
  for (let i = begin; i < end; i++) {
    const value = logits[i] ?? Number.NEGATIVE_INFINITY;
    if (value > best) {
      best = value;
      bestAt = i;
    }
  }
  return bestAt - begin;
}

/** Likewise, three times slower, and leaves the blocks' maxima in the scratch. */
export function findBestByBlock(row: Row, { blockMaxima }: Scratch): number {
  const { logits, begin, end } = row;
  let best = Number.NEGATIVE_INFINITY;
  let bestBlock = 0;
  for (let block = 0, start = begin; start < end; block++, start += blockLength) {
    const stop = Math.min(end, start + blockLength);
    let top = Number.NEGATIVE_INFINITY;
    for (let i = start; i < stop; i++) {
      const value = logits[i] ?? Number.NEGATIVE_INFINITY;
      if (value > top) top = value;
    }
    blockMaxima[block] = top;
    if (top > best) {
      best = top;
      bestBlock = block;
    }
  }
  const start = begin + bestBlock * blockLength;
  for (let i = start; i < end; i++) if (logits[i] === best) return i - begin;
  return 0; // nothing but NaN
}
