// Recipes carried out: a range of units in, the bytes of each output there. Pure but for reading the
// checkpoint's files, where they are mapped.

import { Fault } from '../std/fault.ts';
import { int4Blocks } from './checkpoint/int4.ts';
import { isInt4, type Matrix, rowsOf, spansOf, unpackRows } from './checkpoint/matrix.ts';
import { blocksOf, packMatrix, type Quantized } from './quantize.ts';
import { type Recipe, rowsIn } from './recipe.ts';
import { bytesOf } from './span.ts';

/** Units [begin, end) of each output. Throws a Fault where the file has what is no number. */
export function make(recipe: Recipe, begin: number, end: number): readonly Uint8Array[] {
  switch (recipe.kind) {
    case 'floats': {
      const { parts, scale, plus } = recipe;
      const pieces = cut(parts, begin, end).map((one) => rowsOf(one.part, one.begin, one.end));
      return [bytesIn(join(pieces.map((piece) => scaled(piece, scale, plus))))];
    }
    case 'turned':
      return [bytesIn(turn(recipe, begin, end))];
    case 'packed':
      return pack(recipe, begin, end);
    case 'copied': {
      const width = recipe.span.shape.slice(1).reduce((a, b) => a * b, 1);
      return [bytesOf(recipe.span, begin * width, end * width)];
    }
    case 'rotary':
      return [bytesIn(rotate(recipe, begin, end))];
    case 'values':
      return [bytesIn(recipe.values)];
    case 'halved':
      return make(recipe.recipe, begin, end).map((bytes, i) =>
        recipe.marks[i] ? halved(bytes) : bytes,
      );
  }
}

/** Float32 as float16, to the nearest. */
function halved({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return new Uint8Array(
    new Float16Array(new Float32Array(buffer, byteOffset, byteLength / 4)).buffer,
  );
}

/** (x + plus) · scale. */
function scaled(values: Float32Array, scale: number, plus = 0): Float32Array {
  if (scale === 1 && plus === 0) return values;
  const factor = Math.fround(scale); // transformers multiplies float32 by float32
  if (plus === 0) return values.map((value) => value * factor);
  return values.map((value) => Math.fround(value + plus) * factor);
}

function pack(
  recipe: Extract<Recipe, { kind: 'packed' }>,
  begin: number,
  end: number,
): readonly Uint8Array[] {
  const pieces = cut(recipe.parts, begin, end).map((one) => packPart(recipe, one));
  const blob = joinBytes(pieces.map((piece) => piece.blob));
  const scales = joinBytes(pieces.map((piece) => bytesIn(piece.scales)));
  const zeros = joinBytes(pieces.map((piece) => piece.zeros));
  return recipe.hasZeros ? [blob, scales, zeros] : [blob, scales];
}

function packPart(
  recipe: Extract<Recipe, { kind: 'packed' }>,
  { part, begin, end }: Cut,
): Quantized {
  const { bits, block, keeps, scale, hasZeros, sorted } = recipe;
  if (keeps && isInt4(part)) return int4Blocks(part, unpackRows(part, begin, end), recipe);
  const { columns } = part;
  const rows = scaled(sortColumns(rowsOf(part, begin, end), columns, sorted), scale);
  const { blob, scales } = packMatrix([rows], columns, bits, block);
  requireNumbers(part, scales, begin, blocksOf(columns, block));
  const zeroBytes = hasZeros ? (end - begin) * Math.ceil(blocksOf(columns, block) / 2) : 0;
  return { blob, scales, zeros: new Uint8Array(zeroBytes).fill(0x88) };
}

function sortColumns(rows: Float32Array, columns: number, sorted: Int32Array | null): Float32Array {
  if (sorted === null) return rows;
  return rows.map((_, i) => {
    const column = i % columns;
    return rows[i - column + (sorted[column] ?? 0)] ?? 0;
  });
}

function requireNumbers(part: Matrix, scales: Float32Array, begin: number, perRow: number): void {
  const at = scales.findIndex((scale) => !Number.isFinite(scale));
  const [span] = spansOf(part);
  if (at < 0 || span === undefined) return;
  throw new Fault(
    'config',
    `${span.where}: tensor ${span.name} has a value in row ${begin + Math.floor(at / perRow)} that is no finite number; download it again`,
  );
}

/** Columns [begin, end) of the stack as rows: [end − begin, rows]. */
function turn(
  { parts, scale }: Extract<Recipe, { kind: 'turned' }>,
  begin: number,
  end: number,
): Float32Array {
  const height = rowsIn(parts);
  const out = new Float32Array((end - begin) * height);
  let left = 0;
  for (const part of parts) {
    const { rows, columns } = part;
    // 32 rows at a time, so that what is read and what is written both stay in the cache.
    for (let r0 = 0; r0 < rows; r0 += 32) {
      const count = Math.min(32, rows - r0);
      const values = rowsOf(part, r0, r0 + count);
      const factor = Math.fround(scale);
      for (let c = begin; c < end; c++) {
        const to = (c - begin) * height + left + r0;
        for (let r = 0; r < count; r++) out[to + r] = (values[r * columns + c] ?? 0) * factor;
      }
    }
    left += rows;
  }
  return out;
}

function rotate(
  { wave, frequencies, amplitude }: Extract<Recipe, { kind: 'rotary' }>,
  begin: number,
  end: number,
): Float32Array {
  const pairs = frequencies.length;
  const out = new Float32Array((end - begin) * pairs);
  const shape = wave === 'cos' ? Math.cos : Math.sin;
  for (const [j, exact] of frequencies.entries()) {
    // transformers computes the angle in float32; so do we, to agree to the last bit or so.
    const frequency = Math.fround(exact);
    for (let position = begin; position < end; position++) {
      out[(position - begin) * pairs + j] = amplitude * shape(Math.fround(position * frequency));
    }
  }
  return out;
}

type Cut = { readonly part: Matrix; readonly begin: number; readonly end: number };

/** Rows [begin, end) of the stack, by the parts that they lie in. */
function cut(parts: readonly Matrix[], begin: number, end: number): readonly Cut[] {
  const cuts: Cut[] = [];
  let top = 0;
  for (const part of parts) {
    const from = Math.max(begin - top, 0);
    const to = Math.min(end - top, part.rows);
    if (from < to) cuts.push({ part, begin: from, end: to });
    top += part.rows;
  }
  return cuts;
}

function join(pieces: readonly Float32Array[]): Float32Array {
  if (pieces.length === 1 && pieces[0] !== undefined) return pieces[0];
  const out = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

function joinBytes(pieces: readonly Uint8Array[]): Uint8Array {
  return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
}

function bytesIn({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
