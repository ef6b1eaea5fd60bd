// The safetensors format (huggingface/safetensors, README "Format"):
//
//   | u64 little-endian: n | n bytes JSON header | tensor data |
//   header: { name: { dtype, shape, data_offsets: [begin, end] }, "__metadata__"?: {…} }
//
// Every offset and size is checked before anything is read through it.

import * as v from 'valibot';
import { Fault } from '../std/fault.ts';
import { toFloat32, type WeightDtype, weightBytes } from './dtype.ts';

const headerBytesMax = 100 * 1024 * 1024; // as in the reference implementation

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const entrySchema = v.object({
  dtype: v.string(),
  shape: v.array(count),
  data_offsets: v.tuple([count, count]),
});

export type Tensor = {
  readonly shape: readonly number[];
  /** The values as float32, row-major. Decoded at each call: keep the result. */
  floats(): Float32Array;
};

export type Weights = {
  get(name: string, shape: readonly number[]): Tensor;
  has(name: string): boolean;
};

/** Tensors of one or more files, by name. Throws a Fault `config` that names file and flaw. */
export function readWeights(files: readonly { name: string; bytes: Uint8Array }[]): Weights {
  const tensors = new Map<string, Tensor>();
  for (const file of files) {
    for (const [name, tensor] of parseFile(file.name, file.bytes)) tensors.set(name, tensor);
  }
  const where = files.map((file) => file.name).join(', ');
  return {
    has: (name) => tensors.has(name),
    get(name, shape) {
      const tensor = tensors.get(name);
      if (tensor === undefined) throw new Fault('config', `${where}: tensor ${name} is missing`);
      if (tensor.shape.join() !== shape.join()) {
        throw new Fault(
          'config',
          `${where}: tensor ${name} has shape [${tensor.shape.join(', ')}], config.json wants [${shape.join(', ')}]`,
        );
      }
      return tensor;
    },
  };
}

function parseFile(where: string, bytes: Uint8Array): Map<string, Tensor> {
  const corrupt = (flaw: string): Fault =>
    new Fault('config', `${where} is not a valid safetensors file: ${flaw}; download it again`);
  if (bytes.byteLength < 8) throw corrupt(`${bytes.byteLength} bytes, wanted at least 8`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerBytes = Number(view.getBigUint64(0, true));
  if (headerBytes > Math.min(headerBytesMax, bytes.byteLength - 8)) {
    throw corrupt(`header of ${headerBytes} bytes in a file of ${bytes.byteLength}`);
  }
  let header: unknown;
  try {
    header = JSON.parse(
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, 8 + headerBytes)),
    );
  } catch {
    throw corrupt('its header is not JSON');
  }
  if (typeof header !== 'object' || header === null) throw corrupt('its header is not an object');
  const data = bytes.subarray(8 + headerBytes);
  const tensors = new Map<string, Tensor>();
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const entry = v.safeParse(entrySchema, value);
    if (!entry.success) throw corrupt(`entry of tensor ${name}`);
    tensors.set(name, parseTensor({ where, name }, entry.output, data, corrupt));
  }
  return tensors;
}

function parseTensor(
  { where, name }: { where: string; name: string },
  entry: v.InferOutput<typeof entrySchema>,
  data: Uint8Array,
  corrupt: (flaw: string) => Fault,
): Tensor {
  const { dtype, shape } = entry;
  const [begin, end] = entry.data_offsets;
  if (!isWeightDtype(dtype)) {
    throw new Fault(
      'config',
      `${where}: tensor ${name} is ${dtype}; this version reads F32, F16 and BF16`,
    );
  }
  if (begin > end || end > data.byteLength) {
    throw corrupt(`tensor ${name} ends at byte ${end} of ${data.byteLength}`);
  }
  const wanted = shape.reduce((a, b) => a * b, 1) * weightBytes[dtype];
  if (end - begin !== wanted) {
    throw corrupt(`tensor ${name} has ${end - begin} bytes, its shape wants ${wanted}`);
  }
  return { shape, floats: () => toFloat32(data.subarray(begin, end), dtype) };
}

function isWeightDtype(dtype: string): dtype is WeightDtype {
  return Object.hasOwn(weightBytes, dtype);
}
