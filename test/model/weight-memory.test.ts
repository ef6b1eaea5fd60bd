import { expect, test } from 'bun:test';
import { parseConfig } from '../../src/model/config.ts';
import { weightMemoryBytes } from '../../src/model/weight-memory.ts';

const llama8B = parseConfig(
  {
    model_type: 'llama',
    hidden_size: 4096,
    intermediate_size: 14_336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 128_256,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
  },
  {},
  'config.json',
);

test('8B: int4 fits beside its KV into 24 GiB, float32 does not', () => {
  const gib = (kind: 'none' | 'int8' | 'int4') => weightMemoryBytes(llama8B, kind) / 2 ** 30;
  expect(gib('int4')).toBeGreaterThan(4);
  expect(gib('int4')).toBeLessThan(7);
  expect(gib('int8')).toBeGreaterThan(7.5);
  expect(gib('int8')).toBeLessThan(11);
  expect(gib('none')).toBeGreaterThan(28);
});
