// The chat templates of the models that the golden tests know.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { templateSources } from '../../src/text/template-source.ts';

const folder = join(import.meta.dir, '../golden/text');

export const goldenTemplates: readonly string[] = readdirSync(folder)
  .map((name) => join(folder, name, 'tokenizer_config.json'))
  .filter((path) => existsSync(path))
  .flatMap((path) => [...templateSources(JSON.parse(readFileSync(path, 'utf8'))).values()]);
if (goldenTemplates.length === 0) throw new Error(`no templates below ${folder}`);
