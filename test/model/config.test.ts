import { describe, expect, test } from 'bun:test';
import { type ModelConfig, parseConfig } from '../../src/model/config.ts';
import { toFault } from '../../src/std/fault.ts';
import { tinyConfig } from './tiny-llama.ts';

const parse = (changes: Record<string, unknown> = {}, generation: unknown = {}): ModelConfig =>
  parseConfig({ ...tinyConfig, ...changes }, generation, 'm/config.json');

function refusal(changes: Record<string, unknown>): string {
  try {
    parse(changes);
  } catch (thrown) {
    const { code, message } = toFault(thrown);
    return `${code}: ${message}`;
  }
  return 'taken';
}

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
      ropeTheta: 10_000,
      tiedEmbeddings: false,
      eosIds: [319],
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
      ropeTheta: 10_000,
      tiedEmbeddings: false,
      eosIds: [],
    });
  });

  test('takes fields it does not need', () => {
    const more = { torch_dtype: 'bfloat16', use_cache: true, rope_scaling: null };
    expect(parse(more)).toEqual(parse());
  });

  test('finds rope theta in its old and its new place', () => {
    expect(parse({ rope_theta: 5e5 }).ropeTheta).toBe(5e5);
    const rope_parameters = { rope_theta: 1e6, rope_type: 'default' };
    expect(parse({ rope_theta: undefined, rope_parameters }).ropeTheta).toBe(1e6);
  });

  test('stop tokens: one or many, generation_config.json first', () => {
    expect(parse({ eos_token_id: [5, 6] }).eosIds).toEqual([5, 6]);
    expect(parse({}, { eos_token_id: 7 }).eosIds).toEqual([7]);
    expect(parse({}, { eos_token_id: [8, 9] }).eosIds).toEqual([8, 9]);
    expect(parse({}, { eos_token_id: null }).eosIds).toEqual([319]);
    expect(parse({ eos_token_id: null }).eosIds).toEqual([]);
  });

  const refusals: readonly [name: string, changes: Record<string, unknown>, says: string][] = [
    [
      'another architecture',
      { architectures: ['MixtralForCausalLM'] },
      'architecture MixtralForCausalLM is not supported; supported: LlamaForCausalLM',
    ],
    ['no architecture', { architectures: [] }, 'architecture none is not supported'],
    ['a missing size', { hidden_size: undefined }, 'hidden_size: '],
    ['a size that is text', { num_hidden_layers: '12' }, 'num_hidden_layers: '],
    ['a size of zero', { vocab_size: 0 }, 'vocab_size: '],
    ['half a layer', { num_hidden_layers: 1.5 }, 'num_hidden_layers: '],
    ['an epsilon of zero', { rms_norm_eps: 0 }, 'rms_norm_eps: '],
    ['another activation', { hidden_act: 'gelu' }, 'hidden_act is "gelu"; this version can only'],
    ['attention biases', { attention_bias: true }, 'attention_bias is true'],
    ['MLP biases', { mlp_bias: true }, 'mlp_bias is true'],
    [
      'scaled rotary embeddings, new spelling',
      { rope_scaling: { rope_type: 'llama3', factor: 8 } },
      'rope scaling is "llama3"; this version can only serve plain rotary embeddings',
    ],
    [
      'scaled rotary embeddings, old spelling',
      { rope_scaling: { type: 'linear', factor: 2 } },
      'rope scaling is "linear"',
    ],
    [
      'scaled rotary embeddings, newest place',
      { rope_parameters: { rope_type: 'yarn' } },
      'rope scaling is "yarn"',
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
