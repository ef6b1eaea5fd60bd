// Phi-3, 3.5 and 4-mini: matrices packed in the file, only a part of each head rotated, windows, and
// rotary embeddings of the kind longrope, which are served up to the length trained for.

import * as v from 'valibot';
import { architecture, count, silu, slidingWindow, windowsBy } from '../architecture.ts';
import { readRope } from '../rope.ts';

export const phi3 = architecture({
  modelType: 'phi3',
  className: 'Phi3ForCausalLM',
  fields: {
    hidden_act: silu,
    sliding_window: slidingWindow,
    partial_rotary_factor: v.nullish(v.pipe(v.number(), v.gtValue(0), v.maxValue(1)), null),
    original_max_position_embeddings: v.nullish(count, 4096),
  },
  differences(own, around) {
    const { shape, where } = around;
    const { scaling, theta = 10_000 } = around.rope;
    const inside = scaling?.['partial_rotary_factor'];
    const share = typeof inside === 'number' ? inside : (own.partial_rotary_factor ?? 1);
    const { positions = shape.positions, ...rope } = readRope({
      scaling: renamed(scaling),
      theta,
      dims: Math.floor(shape.headDim * share),
      positions: shape.positions,
      originalPositions: own.original_max_position_embeddings,
      where,
    });
    return {
      packed: true,
      windows: windowsBy(around, own.sliding_window, null, () => true),
      ropes: [rope],
      positions,
    };
  },
});

/** Early files call longrope "su" or "yarn"; transformers takes both for it. */
function renamed(scaling: Readonly<Record<string, unknown>> | null) {
  const kind = scaling?.['rope_type'] ?? scaling?.['type'];
  return kind === 'su' || kind === 'yarn' ? { ...scaling, rope_type: 'longrope' } : scaling;
}
