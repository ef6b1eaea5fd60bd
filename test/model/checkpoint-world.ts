// Checkpoints in quantized formats with random contents, and what their weights are by the formats'
// definitions, read as plainly as can be: the naive brother of src/model/checkpoint.
//
// GPTQ: AutoGPTQ, QuantLinear.pack and .forward; AWQ: AutoAWQ, WQLinear_GEMM and dequantize_gemm;
// fp8: compressed-tensors (value · weight_scale), DeepSeek-V3 (value · weight_scale_inv of 128 × 128).

import { seededChance } from '../../src/std/prng.ts';

export type Stored = { dtype: string; shape: readonly number[]; bytes: Uint8Array };
export type StoredTensors = Map<string, Stored>;

/** One linear layer: its tensors, and the matrix [rows, columns] that they stand for. */
export type Layer = { readonly tensors: StoredTensors; readonly matrix: Float32Array };

export type Format =
  | { kind: 'gptq'; group: number; version: 1 | 2; isSymmetric: boolean; order?: 'mixed' }
  | { kind: 'awq'; group: number; isSymmetric: boolean }
  | { kind: 'fp8'; scales: 'tensor' | 'scalar' | 'channel' | 'vector' | 'block' };

/** A file of tensors of any dtype. */
export function storedFile(tensors: StoredTensors): Uint8Array {
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, { dtype, shape, bytes }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.byteLength] };
    end += bytes.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.byteLength));
  return Buffer.concat([size, json, ...[...tensors.values()].map(({ bytes }) => bytes)]);
}

export function stored(dtype: string, shape: readonly number[], values: ArrayBufferView): Stored {
  const { buffer, byteOffset, byteLength } = values;
  return { dtype, shape, bytes: new Uint8Array(buffer, byteOffset, byteLength) };
}

export function randomLayer(
  format: Format,
  name: string,
  size: { rows: number; columns: number; seed: number },
): Layer {
  return format.kind === 'fp8'
    ? fp8Layer(format.scales, name, size)
    : int4Layer(format, name, size);
}

type Size = { rows: number; columns: number; seed: number };

function int4Layer(
  format: Extract<Format, { group: number }>,
  name: string,
  { rows, columns, seed }: Size,
): Layer {
  const chance = seededChance(seed);
  const group = format.group < 0 ? columns : format.group;
  const groups = Math.ceil(columns / group);
  const isGptq = format.kind === 'gptq';
  const offset = format.kind === 'gptq' && format.version === 1 ? 1 : 0;
  const words = (count: number, word: () => number): Uint32Array =>
    Uint32Array.from({ length: count }, word);
  const codes = words((rows * columns) / 8, chance.u32);
  // Near 8, as quantizers have them, or 8 itself.
  const zeroOf = (): number => (format.isSymmetric ? 8 : 5 + (chance.u32() % 7)) - offset;
  const zeros = words((groups * rows) / 8, () => {
    let word = 0;
    for (let i = 0; i < 8; i++) word |= zeroOf() << (4 * i);
    return word >>> 0;
  });
  const spread = 0.2 / Math.sqrt(columns);
  const scales = Float16Array.from(
    { length: groups * rows },
    () => spread * (0.5 + chance.u32() / 2 ** 32),
  );
  const order = Int32Array.from({ length: columns }, (_, k) => Math.floor(k / group));
  if (format.kind === 'gptq' && format.order === 'mixed') order.reverse();
  const matrix = new Float32Array(rows * columns);
  for (let n = 0; n < rows; n++) {
    for (let k = 0; k < columns; k++) {
      const g = order[k] ?? 0;
      const code = isGptq
        ? nibble(codes, (k >> 3) * rows + n, k & 7)
        : awqNibble(codes, k, n, rows);
      const zero = isGptq
        ? nibble(zeros, g * (rows / 8) + (n >> 3), n & 7) + offset
        : awqNibble(zeros, g, n, rows);
      matrix[n * columns + k] = (scales[g * rows + n] ?? 0) * (code - zero);
    }
  }
  const codeShape = isGptq ? [columns / 8, rows] : [columns, rows / 8];
  const tensors: StoredTensors = new Map([
    [`${name}.qweight`, stored('I32', codeShape, codes)],
    [`${name}.qzeros`, stored('I32', [groups, rows / 8], zeros)],
    [`${name}.scales`, stored('F16', [groups, rows], scales)],
  ]);
  if (isGptq) tensors.set(`${name}.g_idx`, stored('I32', [columns], order));
  return { tensors, matrix };
}

function nibble(words: Uint32Array, at: number, i: number): number {
  return ((words[at] ?? 0) >>> (4 * i)) & 15;
}

/** All eight of a word unpacked, then put in order as dequantize_gemm does. */
function awqNibble(words: Uint32Array, line: number, row: number, rows: number): number {
  const reverse = [0, 4, 1, 5, 2, 6, 3, 7];
  return nibble(words, line * (rows / 8) + (row >> 3), reverse[row & 7] ?? 0);
}

function fp8Layer(
  kind: Extract<Format, { kind: 'fp8' }>['scales'],
  name: string,
  { rows, columns, seed }: Size,
): Layer {
  const chance = seededChance(seed);
  const block = 128;
  const across = kind === 'block' ? Math.ceil(columns / block) : 1;
  const down = {
    tensor: 1,
    scalar: 1,
    channel: rows,
    vector: rows,
    block: Math.ceil(rows / block),
  };
  const spread = 0.007 / Math.sqrt(columns);
  const scales = Float32Array.from(
    { length: down[kind] * across },
    () => spread * (0.5 + chance.u32() / 2 ** 32),
  );
  const bytes = Uint8Array.from({ length: rows * columns }, () => {
    const byte = chance.u32() & 0xff;
    return (byte & 0x7f) === 0x7f ? 0 : byte;
  });
  const scaleAt = (n: number, k: number): number => {
    if (kind === 'block') return Math.floor(n / block) * across + Math.floor(k / block);
    return down[kind] === 1 ? 0 : n;
  };
  const matrix = Float32Array.from(bytes, (byte, i) => {
    const [n, k] = [Math.floor(i / columns), i % columns];
    return Math.fround(e4m3(byte) * (scales[scaleAt(n, k)] ?? 0));
  });
  const shapes = {
    tensor: [1],
    scalar: [],
    channel: [rows, 1],
    vector: [rows],
    block: [down.block, across],
  };
  const scaleName = kind === 'block' ? 'weight_scale_inv' : 'weight_scale';
  const tensors: StoredTensors = new Map([
    [`${name}.weight`, stored('F8_E4M3', [rows, columns], bytes)],
    [`${name}.${scaleName}`, stored('F32', shapes[kind], scales)],
  ]);
  if (kind === 'tensor') tensors.set(`${name}.input_scale`, stored('F32', [1], Float32Array.of(1)));
  return { tensors, matrix };
}

/** OFP8 E4M3 by its definition, from the number's text in base 2. */
export function e4m3(byte: number): number {
  const digits = byte.toString(2).padStart(8, '0');
  const exponent = Number.parseInt(digits.slice(1, 5), 2);
  const fraction = Number.parseInt(digits.slice(5), 2);
  const size = exponent === 0 ? fraction / 512 : (8 + fraction) * 2 ** (exponent - 10);
  return digits.startsWith('1') ? -size : size;
}
