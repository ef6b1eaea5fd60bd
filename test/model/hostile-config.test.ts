// A config.json that would cost memory, or build a graph of numbers that are none, is refused by name.

import { expect, test } from 'bun:test';
import { parseConfig } from '../../src/model/config.ts';
import { Fault } from '../../src/std/fault.ts';
import { tinyConfig } from './tiny-llama.ts';

const gemma = { model_type: 'gemma3_text', architectures: ['Gemma3ForCausalLM'] };
const granite = { model_type: 'granite', architectures: ['GraniteForCausalLM'] };

test.each<[string, Record<string, unknown>, string]>([
  ['layers without number', { num_hidden_layers: 2 ** 53 - 1 }, 'num_hidden_layers'],
  ['a head of billions', { head_dim: 2 ** 40 }, 'head_dim'],
  ['a vocabulary of billions', { vocab_size: 1e12 }, 'vocab_size'],
  [
    'end tokens without number',
    { eos_token_id: Array.from({ length: 2000 }, () => 1) },
    'eos_token_id',
  ],
  [
    'a rope kind that every object has',
    { rope_scaling: { rope_type: 'constructor' } },
    'constructor',
  ],
  ['a rope kind that is no text', { rope_scaling: { rope_type: { toString: 1 } } }, 'rope scaling'],
  ['a negative theta', { rope_theta: -1 }, 'rope_theta'],
  [
    'an infinite factor',
    { rope_scaling: { rope_type: 'linear', factor: Number('1e999') } },
    'factor',
  ],
  [
    'records by layer type that are none',
    { ...gemma, rope_scaling: { full_attention: 1 } },
    'type of layer',
  ],
  ['a scale that is no number', { ...gemma, query_pre_attn_scalar: -4 }, 'query_pre_attn_scalar'],
  ['a multiplier beyond float32', { ...granite, logits_scaling: 1e-300 }, 'logitsScale'],
])('%s', (_name, fields, named) => {
  try {
    parseConfig({ ...tinyConfig, ...fields }, {}, 'config.json');
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    expect([thrown.code, thrown.message]).toEqual(['config', expect.stringContaining(named)]);
    return;
  }
  throw new Error('taken');
});
