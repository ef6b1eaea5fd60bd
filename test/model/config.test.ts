import { describe, expect, test } from 'bun:test';
import { type ModelConfig, parseConfig } from '../../src/model/config.ts';
import { toFault } from '../../src/std/fault.ts';
import { tinyConfig } from './tiny-llama.ts';

const parse = (changes: Record<string, unknown> = {}, generation: unknown = {}): ModelConfig =>
  parseConfig({ ...tinyConfig, ...changes }, generation, 'm/config.json');

const qwen2 = { model_type: 'qwen2', architectures: ['Qwen2ForCausalLM'] };

function refusal(changes: Record<string, unknown>): string {
  try {
    parse(changes);
  } catch (thrown) {
    const { code, message } = toFault(thrown);
    return `${code}: ${message}`;
  }
  return 'taken';
}

/** Plain rotary frequencies of heads of 16. */
const plain = (theta: number): number[] =>
  Array.from({ length: 8 }, (_, j) => Math.fround(1 / Math.fround(theta ** (j / 8))));

describe('parseConfig', () => {
  test('reads what it can build', () => {
    expect(parse()).toEqual({
      hidden: 64,
      ffn: 96,
      layers: 3,
      heads: 4,
      kvHeads: 2,
      headDim: 16,
      vocabSize: 320,
      positions: 512,
      normEpsilon: 1e-5,
      tiedEmbeddings: false,
      activation: 'silu',
      qkvBias: false,
      outputBias: false,
      mlpBias: false,
      packed: false,
      headNorms: false,
      outputNorms: false,
      normsFromOne: false,
      embeddingScale: 1,
      residualScale: 1,
      attentionScale: 0.25,
      logitsScale: 1,
      attentionSoftcap: null,
      logitsSoftcap: null,
      windows: [null, null, null],
      ropes: [{ frequencies: plain(10_000), amplitude: 1 }],
      ropeOf: [0, 0, 0],
      eosIds: [319],
      scheme: { kind: 'dense' },
    });
  });

  test('fills in what transformers fills in', () => {
    const bare = {
      num_key_value_heads: undefined,
      head_dim: null,
      rope_theta: undefined,
      tie_word_embeddings: undefined,
      hidden_act: undefined,
      eos_token_id: undefined,
    };
    expect(parse(bare)).toMatchObject({
      kvHeads: 4,
      headDim: 16,
      ropes: [{ frequencies: plain(10_000) }],
      tiedEmbeddings: false,
      eosIds: [],
    });
  });

  test('takes fields it does not need', () => {
    const more = { torch_dtype: 'bfloat16', use_cache: true, rope_scaling: null };
    expect(parse(more)).toEqual(parse());
  });

  test('finds rope theta in its old and its new place', () => {
    expect(parse({ rope_theta: 5e5 }).ropes[0]?.frequencies).toEqual(plain(5e5));
    const rope_parameters = { rope_theta: 1e6, rope_type: 'default' };
    const newer = parse({ rope_theta: undefined, rope_parameters });
    expect(newer.ropes[0]?.frequencies).toEqual(plain(1e6));
  });

  test('stop tokens: one or many, generation_config.json first', () => {
    expect(parse({ eos_token_id: [5, 6] }).eosIds).toEqual([5, 6]);
    expect(parse({}, { eos_token_id: 7 }).eosIds).toEqual([7]);
    expect(parse({}, { eos_token_id: [8, 9] }).eosIds).toEqual([8, 9]);
    expect(parse({}, { eos_token_id: null }).eosIds).toEqual([319]);
    expect(parse({ eos_token_id: null }).eosIds).toEqual([]);
  });

  test('what changes nothing may stand in the file of a class that does not know it', () => {
    const neutral = {
      attention_bias: false,
      sliding_window: 512,
      layer_types: ['full_attention', 'full_attention', 'full_attention'],
      partial_rotary_factor: 1,
      num_local_experts: 1,
      query_pre_attn_scalar: 16,
      quantization_config: null,
    };
    expect(parse(neutral)).toEqual(parse());
  });

  test('kinds that change beyond the length trained for are served up to it', () => {
    expect(parse({ rope_scaling: { type: 'dynamic', factor: 4 } })).toEqual(parse());
    const listed = Array.from({ length: 8 }, (_, j) => j + 1);
    const long = parse({
      rope_scaling: { type: 'longrope', short_factor: listed, long_factor: listed },
      original_max_position_embeddings: 128,
    });
    expect(long.positions).toBe(128);
    expect(long.ropes[0]?.amplitude).toBeCloseTo(Math.sqrt(1 + Math.log(4) / Math.log(128)), 12);
  });

  test('yarn stretches the length that stands beside it', () => {
    const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 512 };
    expect(parse({ rope_scaling: yarn }).positions).toBe(2048);
    expect(parse({ rope_scaling: yarn, max_position_embeddings: 4096 }).positions).toBe(4096);
  });

  test('the window of each layer', () => {
    const windows = (changes: Record<string, unknown>): unknown => parse(changes).windows;
    const mistral = { model_type: 'mistral', architectures: ['MistralForCausalLM'] };
    expect(windows({ ...mistral, sliding_window: 32 })).toEqual([32, 32, 32]);
    expect(windows({ ...mistral, sliding_window: null })).toEqual([null, null, null]);
    expect(windows(mistral)).toEqual([4096, 4096, 4096]);
    const sliding = {
      ...qwen2,
      use_sliding_window: true,
      sliding_window: 32,
      max_window_layers: 2,
    };
    expect(windows(sliding)).toEqual([null, null, 32]);
    expect(windows({ ...sliding, use_sliding_window: false })).toEqual([null, null, null]);
    const layer_types = ['sliding_attention', 'full_attention', 'full_attention'];
    expect(windows({ ...sliding, layer_types })).toEqual([32, null, null]);
  });

  test('Gemma 3 writes its two rotary embeddings in two ways', () => {
    const gemma = { model_type: 'gemma3_text', architectures: ['Gemma3ForCausalLM'] };
    const older = parse({
      ...gemma,
      rope_theta: 1e6,
      rope_local_base_freq: 500,
      rope_scaling: { rope_type: 'linear', factor: 8 },
    });
    const newer = parse({
      ...gemma,
      rope_theta: undefined,
      rope_parameters: {
        full_attention: { rope_type: 'linear', factor: 8, rope_theta: 1e6 },
        sliding_attention: { rope_type: 'default', rope_theta: 500 },
      },
    });
    expect(newer).toEqual(older);
    expect(older.ropes[1]?.frequencies).toEqual(plain(500));
  });

  const refusals: readonly [name: string, changes: Record<string, unknown>, says: string][] = [
    [
      'another architecture',
      { architectures: ['MixtralForCausalLM'] },
      'model_type none (MixtralForCausalLM) is not supported; supported: gemma2 (Gemma2ForCausalLM), ',
    ],
    [
      'another model_type',
      { model_type: 'mixtral', architectures: ['MixtralForCausalLM'] },
      'model_type mixtral (MixtralForCausalLM) is not supported; supported: ',
    ],
    [
      'another head on a model that is known',
      { model_type: 'llama', architectures: ['LlamaForSequenceClassification'] },
      'model_type llama (LlamaForSequenceClassification) is not supported; supported: ',
    ],
    [
      'no architecture',
      { architectures: [] },
      'model_type none (no architecture named) is not supported',
    ],
    ['a missing size', { hidden_size: undefined }, 'hidden_size: '],
    ['a size that is text', { num_hidden_layers: '12' }, 'num_hidden_layers: '],
    ['a size of zero', { vocab_size: 0 }, 'vocab_size: '],
    ['half a layer', { num_hidden_layers: 1.5 }, 'num_hidden_layers: '],
    ['an epsilon of zero', { rms_norm_eps: 0 }, 'rms_norm_eps: '],
    [
      'another activation',
      { hidden_act: 'gelu' },
      'hidden_act is "gelu"; of llama this version can only serve "silu"',
    ],
    [
      'another kind of rotary embeddings, new spelling',
      { rope_scaling: { rope_type: 'mrope', mrope_section: [2, 3, 3] } },
      'rope scaling is "mrope"; this version can serve default, linear, dynamic, llama3, yarn, longrope',
    ],
    [
      'another kind of rotary embeddings, old spelling',
      { rope_scaling: { type: 'xpos' } },
      'rope scaling is "xpos"',
    ],
    [
      'a kind without what it needs',
      { rope_scaling: { rope_type: 'llama3', factor: 8 } },
      'rope scaling: low_freq_factor: ',
    ],
    [
      'a field of a kind that is not known',
      { rope_scaling: { rope_type: 'linear', factor: 8, wobble: 2 } },
      'rope scaling: wobble: ',
    ],
    [
      'a list of factors of another length',
      { rope_scaling: { rope_type: 'longrope', short_factor: [1, 2], long_factor: [1, 2] } },
      'rope scaling: short_factor has 2 values, the rotated part of a head wants 8',
    ],
    [
      'a part of a head that the kernel cannot rotate',
      {
        model_type: 'phi3',
        architectures: ['Phi3ForCausalLM'],
        head_dim: 32,
        partial_rotary_factor: 0.75,
      },
      '24 values of a head are rotated; this version can only serve a multiple of 16',
    ],
    [
      'windows of a class that has none',
      { sliding_window: 64 },
      'sliding_window is 64; this version serves llama models only without it',
    ],
    [
      'weights that are quantized in a way that is not read',
      { quantization_config: { quant_method: 'bitsandbytes', load_in_4bit: true } },
      'quantization_config.quant_method is bitsandbytes; this version reads fp8, compressed-tensors, gptq and awq',
    ],
    [
      'a part of each head rotated',
      { rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.5 } },
      'partial_rotary_factor is 0.5',
    ],
    [
      'layers that are neither full nor sliding',
      {
        ...qwen2,
        layer_types: ['full_attention', 'linear_attention', 'full_attention'],
      },
      'layer_types.1 is "linear_attention"; of qwen2 this version can only serve ("full_attention" |',
    ],
    [
      'a list of layers of another length',
      { ...qwen2, layer_types: ['full_attention'] },
      'layer_types has 1 entries, num_hidden_layers wants 3',
    ],
    [
      'a cap that transformers reads and does not apply',
      {
        model_type: 'gemma3_text',
        architectures: ['Gemma3ForCausalLM'],
        attn_logit_softcapping: 50,
      },
      'attn_logit_softcapping is 50; of gemma3_text this version can only serve null',
    ],
    ['an odd head size', { head_dim: 24 }, 'head size 24 is not a multiple of 16'],
    [
      'a head size that is no whole number',
      { head_dim: null, num_attention_heads: 6, num_key_value_heads: 2 },
      'head size 10.66',
    ],
    [
      'heads that cannot be shared',
      { num_attention_heads: 4, num_key_value_heads: 3 },
      '4 query heads cannot share 3 key/value heads',
    ],
    ['a negative stop token', { eos_token_id: -1 }, 'eos_token_id: '],
    ['a stop token that is text', { eos_token_id: '</s>' }, 'eos_token_id: '],
  ];
  for (const [name, changes, says] of refusals) {
    test(`refuses ${name}, by name`, () => {
      expect(refusal(changes)).toStartWith(`config: m/config.json: ${says}`);
    });
  }

  test('refuses what is no object at all', () => {
    for (const file of [null, [], 'text', 7]) {
      expect(() => parseConfig(file, {}, 'x')).toThrow(/^x: /);
    }
  });
});
