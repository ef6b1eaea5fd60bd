// `tdist bench model SIZE`: a model folder with random weights at a known model's dimensions, in the
// cache folder, for measuring what no trained weights are at hand for.

import { cacheDir } from '../role/cache-dir.ts';
import { Fault } from '../std/fault.ts';
import { type Dimensions, randomModel, smolLm135M } from './random-model.ts';

const seed = 1;

const llama = {
  vocab: 128_256,
  ropeTheta: 500_000,
  positions: 131_072,
  config: {
    model_type: 'llama',
    attention_bias: false,
    mlp_bias: false,
    rope_scaling: {
      factor: 8,
      high_freq_factor: 4,
      low_freq_factor: 1,
      original_max_position_embeddings: 8192,
      rope_type: 'llama3',
    },
    torch_dtype: 'bfloat16',
  },
};

/** meta-llama/Llama-3.2-1B, its config.json. */
export const llama1B: Dimensions = {
  ...llama,
  name: 'llama-1b',
  hidden: 2048,
  layers: 16,
  heads: 32,
  kvHeads: 8,
  headDim: 64,
  ffn: 8192,
  config: { ...llama.config, rope_scaling: { ...llama.config.rope_scaling, factor: 32 } },
};

/** meta-llama/Llama-3.1-8B-Instruct, its config.json. */
export const llama8B: Dimensions = {
  ...llama,
  name: 'llama-8b',
  hidden: 4096,
  layers: 32,
  heads: 32,
  kvHeads: 8,
  headDim: 128,
  ffn: 14_336,
  isTied: false,
};

const perTensor = {
  block_structure: null,
  dynamic: false,
  group_size: null,
  num_bits: 8,
  observer: 'minmax',
  observer_kwargs: {},
  strategy: 'tensor',
  symmetric: true,
  type: 'float',
};

/** As llm-compressor writes the config of a model in fp8, one scale a matrix. */
export const fp8Config = {
  quantization_config: {
    config_groups: {
      group_0: {
        input_activations: perTensor,
        output_activations: null,
        targets: ['Linear'],
        weights: perTensor,
      },
    },
    format: 'float-quantized',
    ignore: ['lm_head'],
    kv_cache_scheme: null,
    quant_method: 'compressed-tensors',
    quantization_status: 'frozen',
  },
};

/** neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8. */
const llama8BFp8: Dimensions = {
  ...llama8B,
  name: 'llama-8b-fp8',
  format: 'fp8',
  config: { ...llama8B.config, ...fp8Config },
};

const sizes: Readonly<Record<string, Dimensions>> = {
  '135m': smolLm135M,
  '1b': llama1B,
  '8b': llama8B,
  '8b-fp8': llama8BFp8,
};

export const modelFolderHelp = `tdist bench model SIZE [--layers N]

Writes a model folder with random weights into the cache folder, unless it is there, and prints its path.
SIZE: ${Object.keys(sizes).join(', ')}; --layers: fewer layers than the model has.

  135m     SmolLM2-135M, bf16, 270 MB
  1b       Llama 3.2 1B, bf16, 2.5 GB
  8b       Llama 3.1 8B, bf16, 16 GB
  8b-fp8   Llama 3.1 8B as compressed-tensors in fp8, 9.1 GB

Example: tdist bench model 8b-fp8 --layers 2`;

export async function runModelFolder(
  argv: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    print(modelFolderHelp);
    return 0;
  }
  const [size = '', flag, count = '', ...more] = argv.flatMap((word) => word.split('='));
  const dimensions = sizes[size];
  if (dimensions === undefined) {
    throw new Fault(
      'usage',
      `bench model ${size || 'without a size'}: wanted one of ${Object.keys(sizes).join(', ')}`,
    );
  }
  const layers = flag === undefined ? dimensions.layers : Number(count);
  const isLess = Number.isInteger(layers) && layers >= 1 && layers <= dimensions.layers;
  if ((flag !== undefined && flag !== '--layers') || more.length > 0 || !isLess) {
    throw new Fault(
      'usage',
      `bench model ${argv.join(' ')}: wanted SIZE, or SIZE --layers 1 … ${dimensions.layers}`,
    );
  }
  const name = flag === undefined ? dimensions.name : `${dimensions.name}-${layers}`;
  print(await randomModel({ ...dimensions, name, layers }, { cacheDir: cacheDir(), seed }));
  return 0;
}
