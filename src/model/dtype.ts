// Weights as float32, whatever the file stores. bf16 is the upper half of a float32; f16 goes
// through the engine's own Float16Array.

export type WeightDtype = 'F32' | 'F16' | 'BF16';

export const weightBytes: Readonly<Record<WeightDtype, number>> = { F32: 4, F16: 2, BF16: 2 };

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
