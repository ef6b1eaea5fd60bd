// Weights as float32, whatever the file stores. bf16 is the upper half of a float32; f16 goes
// through the engine's own Float16Array; fp8 (OFP8: E4M3's "FN" kind and E5M2) through tables.

export type WeightDtype = 'F32' | 'F16' | 'BF16';

export const weightBytes: Readonly<Record<WeightDtype, number>> = { F32: 4, F16: 2, BF16: 2 };

/** Every dtype that a safetensors file may have, with the size of one element. */
export const storedBytes = {
  ...{ F32: 4, F16: 2, BF16: 2 },
  ...{ F64: 8, F8_E4M3: 1, F8_E5M2: 1 },
  ...{ I64: 8, I32: 4, I16: 2, I8: 1 },
  ...{ U64: 8, U32: 4, U16: 2, U8: 1, BOOL: 1 },
} as const;
export type StoredDtype = keyof typeof storedBytes;

export function isStoredDtype(dtype: string): dtype is StoredDtype {
  return Object.hasOwn(storedBytes, dtype);
}

export function isWeightDtype(dtype: string): dtype is WeightDtype {
  return Object.hasOwn(weightBytes, dtype);
}

/** `bytes` must start at an address that is a multiple of the element size; copies are made else. */
export function toFloat32(bytes: Uint8Array, dtype: WeightDtype): Float32Array {
  const size = weightBytes[dtype];
  // Not slice(): a Buffer's slice shares the memory it was cut from.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  const { buffer, byteOffset } = aligned;
  const count = bytes.byteLength / size;
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer, byteOffset, count);
    case 'F16':
      return new Float32Array(new Float16Array(buffer, byteOffset, count));
    case 'BF16': {
      const halves = new Uint16Array(buffer, byteOffset, count);
      const words = new Uint32Array(count);
      for (let i = 0; i < count; i++) words[i] = (halves[i] ?? 0) << 16;
      return new Float32Array(words.buffer);
    }
  }
}

export type Fp8Dtype = 'F8_E4M3' | 'F8_E5M2';

export function isFp8(dtype: string): dtype is Fp8Dtype {
  return dtype === 'F8_E4M3' || dtype === 'F8_E5M2';
}

/** The number that each byte stands for. */
export const fp8Values: Readonly<Record<Fp8Dtype, Float32Array>> = {
  F8_E4M3: fp8Table(3, 7, (code) => (code & 0x7f) === 0x7f),
  // The upper half of a float16; all bits of the exponent: infinities and NaN.
  F8_E5M2: fp8Table(2, 15, (code) => (code & 0x7c) === 0x7c),
};

function fp8Table(
  fractionBits: number,
  bias: number,
  isNone: (code: number) => boolean,
): Float32Array {
  const one = 2 ** fractionBits;
  return Float32Array.from({ length: 256 }, (_, code) => {
    if (isNone(code)) return Number.NaN;
    const sign = code & 0x80 ? -1 : 1;
    const exponent = (code & 0x7f) >> fractionBits;
    const fraction = (code & (one - 1)) / one;
    return exponent === 0
      ? sign * 2 ** (1 - bias) * fraction
      : sign * 2 ** (exponent - bias) * (1 + fraction);
  });
}
