// Granite 3: four multipliers, of embeddings, residual branches, attention scores and (divided by) logits.

import * as v from 'valibot';
import { architecture, flag, number, silu } from '../architecture.ts';

const multiplier = v.optional(number, 1);

export const granite = architecture({
  modelType: 'granite',
  className: 'GraniteForCausalLM',
  fields: {
    hidden_act: silu,
    attention_bias: flag,
    mlp_bias: flag,
    embedding_multiplier: multiplier,
    residual_multiplier: multiplier,
    attention_multiplier: multiplier,
    logits_scaling: multiplier,
  },
  differences: (own) => ({
    qkvBias: own.attention_bias,
    outputBias: own.attention_bias,
    mlpBias: own.mlp_bias,
    embeddingScale: own.embedding_multiplier,
    residualScale: own.residual_multiplier,
    attentionScale: own.attention_multiplier,
    logitsScale: 1 / own.logits_scaling,
  }),
});
