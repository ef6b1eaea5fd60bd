// How each tensor of a graph is made from a checkpoint's: plain data, carried out in pieces (make.ts), so
// that no more than a piece is in memory and any thread can make any piece. Pure.
//
//   recipe ─ units (rows; columns of what is turned) ─▶ piece [begin, end) ─▶ bytes of each output

import { type Matrix, spansOf } from './checkpoint/matrix.ts';
import { type Bits, blocksOf } from './quantize.ts';
import type { Span } from './span.ts';

/** Matrices of one width below one another, all times `scale`. */
type Stack = { readonly parts: readonly Matrix[]; readonly scale: number };

export type Recipe =
  /** f32 [rows, columns]: value · scale + plus · scale. */
  | ({ readonly kind: 'floats'; readonly plus: number } & Stack)
  /** f32 [columns, rows]. */
  | ({ readonly kind: 'turned' } & Stack)
  /** Blob, scales and perhaps zero points of MatMulNBits. */
  | ({ readonly kind: 'packed' } & Packing & Stack)
  /** As it is in the file. */
  | { readonly kind: 'copied'; readonly span: Span }
  /** amplitude · cos or sin of position · frequency, f32 [positions, frequencies]. */
  | {
      readonly kind: 'rotary';
      readonly wave: 'cos' | 'sin';
      readonly positions: number;
      readonly frequencies: readonly number[];
      readonly amplitude: number;
    }
  | { readonly kind: 'values'; readonly values: Float32Array }
  /** Another's, with the outputs that are so marked as float16 instead of float32. */
  | { readonly kind: 'halved'; readonly recipe: Recipe; readonly marks: readonly boolean[] };

export type Packing = {
  readonly bits: Bits;
  readonly block: number;
  readonly hasZeros: boolean;
  /** Parts that have 4-bit codes keep them. */
  readonly keeps: boolean;
  /** Which column of the parts comes first, and so on; null: as they are. */
  readonly sorted: Int32Array | null;
};

export function rowsIn(parts: readonly Matrix[]): number {
  return parts.reduce((sum, part) => sum + part.rows, 0);
}

export function columnsIn(parts: readonly Matrix[]): number {
  return parts[0]?.columns ?? 0;
}

/** In how many equal parts a recipe can be carried out, and the bytes of each output in one of them. */
export function unitsOf(recipe: Recipe): { units: number; bytes: readonly number[] } {
  switch (recipe.kind) {
    case 'floats':
      return { units: rowsIn(recipe.parts), bytes: [columnsIn(recipe.parts) * 4] };
    case 'turned':
      return { units: columnsIn(recipe.parts), bytes: [rowsIn(recipe.parts) * 4] };
    case 'packed': {
      const { parts, bits, block, hasZeros } = recipe;
      const blocks = blocksOf(columnsIn(parts), block);
      const zeros = hasZeros ? [Math.ceil(blocks / 2)] : [];
      return { units: rowsIn(parts), bytes: [(blocks * block * bits) / 8, blocks * 4, ...zeros] };
    }
    case 'copied': {
      const [units = 1] = recipe.span.shape;
      return { units, bytes: [recipe.span.bytes / units] };
    }
    case 'rotary':
      return { units: recipe.positions, bytes: [recipe.frequencies.length * 4] };
    case 'values':
      return { units: 1, bytes: [recipe.values.byteLength] };
    case 'halved': {
      const { units, bytes } = unitsOf(recipe.recipe);
      return { units, bytes: bytes.map((count, i) => (recipe.marks[i] ? count / 2 : count)) };
    }
  }
}

/** Everything that is read for a recipe. */
export function readBy(recipe: Recipe): readonly Span[] {
  switch (recipe.kind) {
    case 'floats':
    case 'turned':
    case 'packed':
      return recipe.parts.flatMap(spansOf);
    case 'copied':
      return [recipe.span];
    case 'halved':
      return readBy(recipe.recipe);
    case 'rotary':
    case 'values':
      return [];
  }
}
