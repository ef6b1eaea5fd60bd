// Qwen2 and Qwen2.5: biases on Q, K and V; the layers from `max_window_layers` on may see a window.

import * as v from 'valibot';
import {
  architecture,
  flag,
  layerTypes,
  silu,
  slidingWindow4096,
  windowsBy,
} from '../architecture.ts';

export const qwen2 = architecture({
  modelType: 'qwen2',
  className: 'Qwen2ForCausalLM',
  fields: {
    hidden_act: silu,
    use_sliding_window: flag,
    sliding_window: slidingWindow4096,
    max_window_layers: v.nullish(v.number(), 28),
    layer_types: layerTypes,
  },
  differences: (own, around) => ({
    qkvBias: true,
    windows: windowsBy(
      around,
      own.use_sliding_window ? own.sliding_window : null,
      own.layer_types,
      (layer) => layer >= own.max_window_layers,
    ),
  }),
});
