// SmolLM3: some layers, every fourth unless the file lists them, have no rotary embeddings; those may
// see a window.

import * as v from 'valibot';
import {
  architecture,
  count,
  flag,
  layerTypes,
  silu,
  slidingWindow,
  windowsBy,
} from '../architecture.ts';

export const smollm3 = architecture({
  modelType: 'smollm3',
  className: 'SmolLM3ForCausalLM',
  defaults: { ropeTheta: 2_000_000, tiedEmbeddings: true },
  fields: {
    hidden_act: silu,
    attention_bias: flag,
    mlp_bias: flag,
    /** Despite its name 1 stands for rotary embeddings. */
    no_rope_layers: v.nullish(v.array(v.picklist([0, 1])), null),
    no_rope_layer_interval: v.nullish(count, 4),
    use_sliding_window: flag,
    sliding_window: slidingWindow,
    layer_types: layerTypes,
  },
  differences(own, around) {
    const ropeOf = Array.from({ length: around.shape.layers }, (_, layer) => {
      const every = (layer + 1) % own.no_rope_layer_interval === 0 ? 0 : 1;
      return (own.no_rope_layers?.[layer] ?? every) === 1 ? 0 : null;
    });
    return {
      qkvBias: own.attention_bias,
      outputBias: own.attention_bias,
      mlpBias: own.mlp_bias,
      ropeOf,
      windows: windowsBy(
        around,
        own.use_sliding_window ? own.sliding_window : null,
        own.layer_types,
        (layer) => ropeOf[layer] === null,
      ),
    };
  },
});
