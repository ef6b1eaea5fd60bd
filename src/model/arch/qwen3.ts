// Qwen3: norms on the heads of Q and K; windows as in Qwen2.

import * as v from 'valibot';
import {
  architecture,
  flag,
  layerTypes,
  silu,
  slidingWindow4096,
  windowsBy,
} from '../architecture.ts';

export const qwen3 = architecture({
  modelType: 'qwen3',
  className: 'Qwen3ForCausalLM',
  defaults: { headDim: 128 },
  fields: {
    hidden_act: silu,
    attention_bias: flag,
    use_sliding_window: flag,
    sliding_window: slidingWindow4096,
    max_window_layers: v.nullish(v.number(), 28),
    layer_types: layerTypes,
  },
  differences: (own, around) => ({
    headNorms: true,
    qkvBias: own.attention_bias,
    outputBias: own.attention_bias,
    windows: windowsBy(
      around,
      own.use_sliding_window ? own.sliding_window : null,
      own.layer_types,
      (layer) => layer >= own.max_window_layers,
    ),
  }),
});
