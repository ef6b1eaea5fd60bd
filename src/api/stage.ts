// The way from text to what a client sees: each choice's pieces pass through a chain of stages, in
// order. A stage is a function made anew for each choice; it may remember, hold text back, divide a
// piece or drop it, but knows nothing of time or network. The last piece (it has a finish) comes last.

import type { Piece } from './reply.ts';

export type Stage = (piece: Piece) => readonly Piece[];

export async function* throughStages(
  pieces: AsyncIterable<Piece>,
  stages: readonly Stage[],
): AsyncGenerator<Piece, void> {
  for await (const piece of pieces) {
    let passing: readonly Piece[] = [piece];
    for (const stage of stages) passing = passing.flatMap(stage);
    yield* passing;
  }
}
