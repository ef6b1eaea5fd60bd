// The built-in model as an export of others: real weights, real tokenizer.
//
//   bun test/model/foreign/demo.ts FOLDER [fused | apart | eager | sdpa]

import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import config from '../../../src/demo/model/config.json';
import { demoFiles, demoName } from '../../../src/model/demo.ts';
import { isWeightDtype, toFloat32 } from '../../../src/model/dtype.ts';
import { openModel } from '../../../src/model/folder.ts';
import { bytesOf } from '../../../src/model/span.ts';
import { writeExport } from './export.ts';
import type { Kind, Tensors } from './export-ops.ts';

/** Into a folder that is there. */
export function writeDemoExport(folder: string, attention: Kind['attention']): void {
  for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) {
    copyFileSync(demoFiles[name] ?? '', join(folder, name));
  }
  const weights = openModel(demoName).weights();
  const { hidden_size: hidden, intermediate_size: ffn, head_dim: headDim } = config;
  const [queries, keys] = [config.num_attention_heads, config.num_key_value_heads];
  const shapes: readonly [RegExp, number[]][] = [
    [/(embed_tokens|lm_head)\.weight$/, [config.vocab_size, hidden]],
    [/q_proj/, [queries * headDim, hidden]],
    [/[kv]_proj/, [keys * headDim, hidden]],
    [/o_proj/, [hidden, queries * headDim]],
    [/(gate|up)_proj/, [ffn, hidden]],
    [/down_proj/, [hidden, ffn]],
    [/norm/, [hidden]],
  ];
  const tensors: Tensors = {
    get(name) {
      const shape = shapes.find(([pattern]) => pattern.test(name))?.[1] ?? [];
      // The head is the table of embeddings.
      const { span } = weights.get(name.replace('lm_head', 'model.embed_tokens'), shape);
      if (!isWeightDtype(span.dtype)) throw new Error(`${name} is ${span.dtype}`);
      return { shape, values: toFloat32(bytesOf(span), span.dtype) };
    },
  };
  const kind = { attention, positions: attention !== 'fused', keep: false };
  writeExport(join(folder, 'onnx/model.onnx'), kind, tensors, config);
}

if (import.meta.main) {
  const [, , folder = '.', attention = 'fused'] = process.argv;
  writeDemoExport(folder, attention as Kind['attention']);
}
