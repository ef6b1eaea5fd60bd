// Gemma 2: norms before and after attention and MLP, their weights stored as w − 1; embeddings times
// √hidden; attention scores and logits capped; every other layer sees a window.

import * as v from 'valibot';
import {
  architecture,
  flag,
  geluTanh,
  layerTypes,
  number,
  slidingWindow4096,
  windowsBy,
} from '../architecture.ts';

export const gemma2 = architecture({
  modelType: 'gemma2',
  className: 'Gemma2ForCausalLM',
  defaults: { headDim: 256, tiedEmbeddings: true },
  fields: {
    hidden_activation: geluTanh,
    attention_bias: flag,
    query_pre_attn_scalar: v.optional(number, 256),
    attn_logit_softcapping: v.optional(v.nullable(number), 50),
    final_logit_softcapping: v.optional(v.nullable(number), 30),
    sliding_window: slidingWindow4096,
    layer_types: layerTypes,
  },
  differences: (own, around) => ({
    activation: 'gelu',
    qkvBias: own.attention_bias,
    outputBias: own.attention_bias,
    outputNorms: true,
    normsFromOne: true,
    embeddingScale: Math.sqrt(around.shape.hidden),
    attentionScale: 1 / Math.sqrt(own.query_pre_attn_scalar),
    attentionSoftcap: own.attn_logit_softcapping,
    logitsSoftcap: own.final_logit_softcapping,
    windows: windowsBy(around, own.sliding_window, own.layer_types, (layer) => layer % 2 === 0),
  }),
});
