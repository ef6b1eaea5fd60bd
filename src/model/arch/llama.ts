// Llama 2 and 3, SmolLM2 and others of that class: the measure of all others here.

import { architecture, flag, silu } from '../architecture.ts';

export const llama = architecture({
  modelType: 'llama',
  className: 'LlamaForCausalLM',
  fields: { hidden_act: silu, attention_bias: flag, mlp_bias: flag },
  differences: (own) => ({
    qkvBias: own.attention_bias,
    outputBias: own.attention_bias,
    mlpBias: own.mlp_bias,
  }),
});
