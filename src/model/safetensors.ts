// The safetensors format (huggingface/safetensors, README "Format"):
//
//   | u64 little-endian: n | n bytes JSON header | tensor data |
//   header: { name: { dtype, shape, data_offsets: [begin, end] }, "__metadata__"?: {…} }
//
// Every offset and size is checked before anything is read through it. Only headers are read here;
// a tensor is a place (Span) until somebody asks for its values.

import * as v from 'valibot';
import { Fault } from '../std/fault.ts';
import { viewBytes } from '../std/memory.ts';
import { isStoredDtype, storedBytes } from './dtype.ts';
import { floatsOf, type Span } from './span.ts';
import { type Region, regionOf, type WeightFile } from './weight-file.ts';

const headerBytesMax = 100 * 1024 * 1024; // as in the reference implementation

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const entrySchema = v.object({
  dtype: v.string(),
  shape: v.array(count),
  data_offsets: v.tuple([count, count]),
});

export type Tensor = {
  readonly shape: readonly number[];
  readonly span: Span;
  /** Kept so that its bytes live as long as the tensor. */
  readonly file: WeightFile;
  /** The values as float32, row-major. Decoded at each call: keep the result. */
  floats(): Float32Array;
};

export type Weights = {
  /** @param shape that it must have; left out: any. Throws a Fault `config`. */
  get(name: string, shape?: readonly number[]): Tensor;
  has(name: string): boolean;
};

/**
 * Tensors of one or more files, by name; valid as long as the files are held. Throws a Fault `config`
 * that names file and flaw.
 */
export function readWeights(files: readonly WeightFile[]): Weights {
  const tensors = new Map<string, Tensor>();
  for (const file of files) {
    for (const [name, tensor] of parseFile(file)) tensors.set(name, tensor);
  }
  const where = files.map((file) => file.name).join(', ');
  return {
    has: (name) => tensors.has(name),
    get(name, shape) {
      const tensor = tensors.get(name);
      if (tensor === undefined) throw new Fault('config', `${where}: tensor ${name} is missing`);
      if (shape !== undefined && tensor.shape.join() !== shape.join()) {
        throw new Fault(
          'config',
          `${tensor.span.where}: tensor ${name} has shape [${tensor.shape.join(', ')}], config.json wants [${shape.join(', ')}]`,
        );
      }
      return tensor;
    },
  };
}

type Corrupt = (flaw: string) => Fault;

function parseFile(source: WeightFile): Map<string, Tensor> {
  const where = source.name;
  const file = regionOf(source);
  const corrupt: Corrupt = (flaw) =>
    new Fault('config', `${where} is not a valid safetensors file: ${flaw}; download it again`);
  if (file.bytes < 8) throw corrupt(`${file.bytes} bytes, wanted at least 8`);
  const length = new DataView(viewBytes(file.address, 8).buffer).getBigUint64(0, true);
  const headerBytes = Number(length);
  if (headerBytes > Math.min(headerBytesMax, file.bytes - 8)) {
    throw corrupt(`header of ${headerBytes} bytes in a file of ${file.bytes}`);
  }
  const header = parseHeader(file, headerBytes, corrupt);
  const data: Region = {
    address: file.address + 8 + headerBytes,
    bytes: file.bytes - 8 - headerBytes,
    isMapped: file.isMapped,
  };
  const tensors = new Map<string, Tensor>();
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const entry = v.safeParse(entrySchema, value);
    if (!entry.success) throw corrupt(`entry of tensor ${name}`);
    const span = placeOf({ where, name }, entry.output, data, corrupt);
    tensors.set(name, { span, shape: span.shape, file: source, floats: () => floatsOf(span) });
  }
  return tensors;
}

function parseHeader(file: Region, headerBytes: number, corrupt: Corrupt): object {
  let header: unknown;
  try {
    const bytes = headerBytes === 0 ? new Uint8Array() : viewBytes(file.address + 8, headerBytes);
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw corrupt('its header is not JSON');
  }
  if (typeof header !== 'object' || header === null) throw corrupt('its header is not an object');
  return header;
}

function placeOf(
  { where, name }: { where: string; name: string },
  entry: v.InferOutput<typeof entrySchema>,
  data: Region,
  corrupt: Corrupt,
): Span {
  const { dtype, shape } = entry;
  const [begin, end] = entry.data_offsets;
  if (!isStoredDtype(dtype)) {
    throw new Fault(
      'config',
      `${where}: tensor ${name} is ${dtype}; this version knows ${Object.keys(storedBytes).join(', ')}`,
    );
  }
  if (begin > end || end > data.bytes) {
    throw corrupt(`tensor ${name} ends at byte ${end} of ${data.bytes}`);
  }
  const wanted = shape.reduce((a, b) => a * b, 1) * storedBytes[dtype];
  if (end - begin !== wanted) {
    throw corrupt(`tensor ${name} has ${end - begin} bytes, its shape wants ${wanted}`);
  }
  const { isMapped } = data;
  return { where, name, dtype, shape, address: data.address + begin, bytes: wanted, isMapped };
}
