// Gemma 3, the text models: as Gemma 2 with norms on the heads of Q and K instead of a cap on their
// products; five of six layers see a window and have rotary embeddings of their own.

import * as v from 'valibot';
import { Fault } from '../../std/fault.ts';
import {
  architecture,
  count,
  flag,
  geluTanh,
  layerTypes,
  number,
  slidingWindow4096,
  windowsBy,
} from '../architecture.ts';
import { readRope } from '../rope.ts';

export const gemma3Text = architecture({
  modelType: 'gemma3_text',
  className: 'Gemma3ForCausalLM',
  defaults: { headDim: 256, tiedEmbeddings: true },
  fields: {
    hidden_activation: geluTanh,
    attention_bias: flag,
    query_pre_attn_scalar: v.optional(number, 256),
    attn_logit_softcapping: v.nullish(v.null(), null),
    final_logit_softcapping: v.nullish(number, null),
    sliding_window: slidingWindow4096,
    sliding_window_pattern: v.nullish(count, 6),
    layer_types: layerTypes,
    rope_local_base_freq: v.nullish(number, 10_000),
  },
  differences(own, around) {
    const { shape, where } = around;
    const windows = windowsBy(
      around,
      own.sliding_window,
      own.layer_types,
      (layer) => (layer + 1) % own.sliding_window_pattern !== 0,
    );
    const { whole, local } = scalings(around.rope.scaling, where);
    const base = { dims: shape.headDim, positions: shape.positions, where };
    const theta = around.rope.theta ?? 1_000_000;
    const { positions = shape.positions, ...rope } = readRope({ ...base, scaling: whole, theta });
    const localRope = readRope({ ...base, scaling: local, theta: own.rope_local_base_freq });
    return {
      activation: 'gelu',
      qkvBias: own.attention_bias,
      outputBias: own.attention_bias,
      outputNorms: true,
      normsFromOne: true,
      headNorms: true,
      embeddingScale: Math.sqrt(shape.hidden),
      attentionScale: 1 / Math.sqrt(own.query_pre_attn_scalar),
      logitsSoftcap: own.final_logit_softcapping,
      windows,
      ropes: [rope, localRope],
      ropeOf: windows.map((window) => (window === null ? 0 : 1)),
      positions: Math.min(positions, localRope.positions ?? positions),
    };
  },
});

const record = v.nullish(v.record(v.string(), v.unknown()), null);
const byLayerType = v.looseObject({ full_attention: record, sliding_attention: record });

/** Newer files have one record for each type of layer, older ones only that of full attention. */
function scalings(scaling: Readonly<Record<string, unknown>> | null, where: string) {
  const isNew = scaling !== null && ('full_attention' in scaling || 'sliding_attention' in scaling);
  if (!isNew) return { whole: scaling, local: null };
  const read = v.safeParse(byLayerType, scaling);
  if (read.success) {
    return { whole: read.output.full_attention, local: read.output.sliding_attention };
  }
  const [{ message }] = read.issues;
  throw new Fault('config', `${where}: rope scaling by type of layer: ${message}`);
}
