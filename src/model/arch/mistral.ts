// Mistral: every layer sees a window, where the file has one.

import { architecture, silu, slidingWindow4096, windowsBy } from '../architecture.ts';

export const mistral = architecture({
  modelType: 'mistral',
  className: 'MistralForCausalLM',
  fields: { hidden_act: silu, sliding_window: slidingWindow4096 },
  differences: (own, around) => ({
    windows: windowsBy(around, own.sliding_window, null, () => true),
  }),
});
