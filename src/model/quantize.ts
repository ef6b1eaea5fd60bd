// Matrices as 4- or 8-bit integers in blocks, the way MatMulNBits reads them (com.microsoft operator
// of ONNX Runtime, docs/ContribOperators.md). Pure.
//
//   weight[n][k] ≈ scale[n][block] · (code[n][k] − zero[n][block]),   block = ⌊k / 128⌋
//
//   blob    uint8 [N, blocks, 128 · bits / 8]   4 bits: the even k in the low half of a byte
//   scales  f32   [N, blocks]
//   zeros   uint8 [N, ⌈blocks / 2⌉]             4 bits: the even block in the low half; left out: 2^(bits−1)
//
// A last block that K does not fill is filled with the code for 0. What is quantized here is symmetric,
// without zero points: those cost no time, but on the built-in model gave logits no better (error 0.64
// against 0.61 at 4 bits). Checkpoints that bring some keep them (checkpoint/int4.ts).

export const quantizations = ['none', 'int8', 'int4'] as const;
export type Quantization = (typeof quantizations)[number];

/**
 * Weights that share a scale. At 64, SmolLM2-135M's decode step takes 1.1 times as long (4 bits) or 1.3
 * times (8 bits), although 128 does not divide its 576 columns.
 */
export const blockSize = 128;

export type Bits = 4 | 8;

/** Rows as the operator reads them. */
export type Quantized = {
  readonly blob: Uint8Array;
  readonly scales: Float32Array;
  /** Empty where there are none. */
  readonly zeros: Uint8Array;
};

export type PackedMatrix = Pick<Quantized, 'blob' | 'scales'> & {
  readonly bits: Bits;
  readonly block: number;
  /** N: one row for each output. */
  readonly rows: number;
  /** K. */
  readonly columns: number;
};

export function bitsOf(quantization: Exclude<Quantization, 'none'>): Bits {
  return quantization === 'int4' ? 4 : 8;
}

export function blocksOf(columns: number, block = blockSize): number {
  return Math.ceil(columns / block);
}

/**
 * The scale of a block with a weight that is not a finite number is not finite either.
 *
 * @param matrices each [rows_i, columns] row-major; they are put below one another.
 */
export function packMatrix(
  matrices: readonly Float32Array[],
  columns: number,
  bits: Bits,
  block = blockSize,
): PackedMatrix {
  const rows = matrices.reduce((sum, matrix) => sum + matrix.length, 0) / columns;
  const blocks = blocksOf(columns, block);
  const blockBytes = (block * bits) / 8;
  const blob = new Uint8Array(rows * blocks * blockBytes);
  const scales = new Float32Array(rows * blocks);
  const codes = new Uint8Array(block);
  let at = 0;
  for (const matrix of matrices) {
    for (let begin = 0; begin < matrix.length; begin += columns) {
      for (let from = begin; from < begin + columns; from += block, at++) {
        const to = Math.min(from + block, begin + columns);
        scales[at] = quantizeBlock(matrix, from, to, bits, codes);
        writeCodes(codes, bits, blob, at * blockBytes);
      }
    }
  }
  return { bits, block, rows, columns, blob, scales };
}

/** The matrix that the packed one stands for, [rows, columns]. */
export function unpackMatrix(packed: PackedMatrix): Float32Array {
  const { bits, block, rows, columns, blob, scales } = packed;
  const blocks = blocksOf(columns, block);
  const zero = 2 ** (bits - 1);
  const out = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < columns; k++) {
      const at = row * blocks + Math.floor(k / block);
      const code = at * block + (k % block);
      const value =
        bits === 8 ? (blob[code] ?? 0) : ((blob[code >> 1] ?? 0) >> ((code & 1) * 4)) & 15;
      out[row * columns + k] = (scales[at] ?? 0) * (value - zero);
    }
  }
  return out;
}

/**
 * Codes of one block's weights, [from, to) of `matrix`, and the scale that goes with them. The weight
 * farthest from 0 takes the one code more that the negative side has; then the scale is fitted to the
 * codes by least squares, and the codes once more to the scale.
 */
function quantizeBlock(
  matrix: Float32Array,
  from: number,
  to: number,
  bits: Bits,
  codes: Uint8Array,
): number {
  let [low, high, sum] = [0, 0, 0];
  for (let i = from; i < to; i++) {
    const weight = matrix[i] as number; // the hot loop: from and to lie within
    if (weight < low) low = weight;
    if (weight > high) high = weight;
    sum += weight;
  }
  const zero = 2 ** (bits - 1);
  codes.fill(zero);
  if (!Number.isFinite(sum)) return Number.NaN;
  const farthest = -low > high ? low : high;
  if (farthest === 0) return 0;
  const scale = roundAndFit(matrix, from, to, -farthest / zero, zero, codes);
  roundAndFit(matrix, from, to, scale, zero, codes);
  return scale;
}

/** Fills `codes` by `scale`; returns the scale that would have suited these codes best. */
function roundAndFit(
  matrix: Float32Array,
  from: number,
  to: number,
  scale: number,
  zero: number,
  codes: Uint8Array,
): number {
  const inverse = 1 / scale;
  const [least, most] = [-zero, zero - 1];
  let dot = 0;
  let norm = 0;
  for (let i = from; i < to; i++) {
    const weight = matrix[i] as number; // the hot loop, see above
    let step = Math.floor(weight * inverse + 0.5);
    if (step < least) step = least;
    else if (step > most) step = most;
    codes[i - from] = step + zero;
    dot += weight * step;
    norm += step * step;
  }
  return dot / norm;
}

function writeCodes(codes: Uint8Array, bits: Bits, blob: Uint8Array, at: number): void {
  if (bits === 8) {
    blob.set(codes, at);
    return;
  }
  for (let i = 0; i < codes.length; i += 2) {
    blob[at + (i >> 1)] = (codes[i] ?? 0) | ((codes[i + 1] ?? 0) << 4);
  }
}
