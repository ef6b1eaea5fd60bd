// The built-in model's files, carried by the executable. Each import is a path: in the source tree, or
// inside the executable, where ordinary file reads work too.

import config from '../demo/model/config.json' with { type: 'file' };
import generationConfig from '../demo/model/generation_config.json' with { type: 'file' };
import weights from '../demo/model/model.safetensors' with { type: 'file' };
import tokenizer from '../demo/model/tokenizer.json' with { type: 'file' };
import tokenizerConfig from '../demo/model/tokenizer_config.json' with { type: 'file' };

export const demoName = 'tdist/demo';

/** File name in a model folder → path it can be read from. */
export const demoFiles: Readonly<Record<string, string>> = {
  'config.json': asPath(config),
  'generation_config.json': asPath(generationConfig),
  'tokenizer.json': asPath(tokenizer),
  'tokenizer_config.json': asPath(tokenizerConfig),
  'model.safetensors': weights,
};

/** With `type: 'file'` the import is a path; TypeScript knows JSON imports only as their content. */
function asPath(imported: unknown): string {
  return String(imported);
}
