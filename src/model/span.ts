// A tensor as a place in memory: plain data, so that any thread of the process can be told of it. What
// is mapped costs memory only while it is looked at; `dropPages` ends that.
// A file may have a tensor at an odd address; our processors read numbers from those, too.

import { Fault } from '../std/fault.ts';
import { discard, viewBytes } from '../std/memory.ts';
import { isWeightDtype, type StoredDtype, storedBytes, toFloat32 } from './dtype.ts';

export type Span = {
  /** File and tensor, in messages. */
  readonly where: string;
  readonly name: string;
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  readonly address: number;
  readonly bytes: number;
  readonly isMapped: boolean;
};

/** Elements [begin, end) as they are stored. A view: valid while the file is held. */
export function bytesOf(span: Span, begin = 0, end = countOf(span)): Uint8Array {
  const size = storedBytes[span.dtype];
  if (end <= begin) return new Uint8Array();
  return viewBytes(span.address + begin * size, (end - begin) * size);
}

/** Elements [begin, end) as float32; of F32 a view of the file. Throws a Fault for what is no float. */
export function floatsOf(span: Span, begin = 0, end = countOf(span)): Float32Array {
  const { where, name, dtype } = span;
  if (!isWeightDtype(dtype)) {
    throw new Fault(
      'config',
      `${where}: tensor ${name} is ${dtype}; this version reads F32, F16 and BF16 there`,
    );
  }
  return toFloat32(bytesOf(span, begin, end), dtype);
}

/** Elements [begin, end) of a tensor of I32, with their bits as unsigned. */
export function wordsOf(span: Span, begin = 0, end = countOf(span)): Uint32Array {
  const { where, name, dtype } = span;
  if (dtype !== 'I32' && dtype !== 'U32') {
    throw new Fault('config', `${where}: tensor ${name} is ${dtype}, wanted I32`);
  }
  const bytes = bytesOf(span, begin, end);
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** The scales among `values` must be numbers. `first`: the place of the first one in the tensor. */
export function requireFinite(span: Span, values: Float32Array, first = 0): Float32Array {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return values;
  throw new Fault(
    'config',
    `${span.where}: tensor ${span.name} has ${values[at]} at ${first + at}, wanted a finite number; download it again`,
  );
}

export function countOf({ shape }: Span): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Its pages leave this process's memory until they are looked at again. */
export function dropPages(spans: readonly Span[]): void {
  for (const { address, bytes, isMapped } of spans) if (isMapped) discard(address, bytes);
}
