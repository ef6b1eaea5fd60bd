// Every architecture that can be served; one file each in arch/.

import { gemma2 } from './arch/gemma2.ts';
import { gemma3Text } from './arch/gemma3_text.ts';
import { granite } from './arch/granite.ts';
import { llama } from './arch/llama.ts';
import { mistral } from './arch/mistral.ts';
import { phi3 } from './arch/phi3.ts';
import { qwen2 } from './arch/qwen2.ts';
import { qwen3 } from './arch/qwen3.ts';
import { smollm3 } from './arch/smollm3.ts';
import type { Architecture } from './architecture.ts';

export const architectures: readonly Architecture[] = [
  gemma2,
  gemma3Text,
  granite,
  llama,
  mistral,
  phi3,
  qwen2,
  qwen3,
  smollm3,
];
