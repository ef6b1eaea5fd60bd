// A row of logits, the working memory that sampling needs beside it, and its largest value. The row
// is looked at in blocks of 64: one pass notes each block's maximum, and whoever wants the k largest
// then reads only the blocks that can have one of them.

/** Logits [vocabSize] inside a larger array. */
export type Row = { readonly logits: Float32Array; readonly begin: number; readonly end: number };

export const blockLength = 64;

/** Made once per engine; nothing in it outlives a call. */
export type Scratch = {
  /** Maximum of each block of the row that was looked at last. */
  readonly blockMaxima: Float32Array;
  /** Candidates: ids ascending, with their weights. */
  readonly ids: Int32Array;
  readonly weights: Float64Array;
  /** A second such pair, put out of order by selecting. */
  readonly pickIds: Int32Array;
  readonly pickWeights: Float64Array;
  /** How often each id occurs; all 0 between calls. */
  readonly counts: Int32Array;
  /** The row as the model left it, where log-probabilities are wanted. */
  readonly raw: Float32Array;
};

export function createScratch(vocabSize: number): Scratch {
  return {
    blockMaxima: new Float32Array(Math.ceil(vocabSize / blockLength)),
    ids: new Int32Array(vocabSize),
    weights: new Float64Array(vocabSize),
    pickIds: new Int32Array(vocabSize),
    pickWeights: new Float64Array(vocabSize),
    counts: new Int32Array(vocabSize),
    raw: new Float32Array(vocabSize),
  };
}

/** Id of the largest logit, the first of equals; leaves the blocks' maxima in the scratch. */
export function findBest(row: Row, { blockMaxima }: Scratch): number {
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
