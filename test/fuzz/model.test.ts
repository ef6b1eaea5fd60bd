// A model's folder comes from strangers: weights, configuration, tokenizer.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseConfig } from '../../src/model/config.ts';
import { readWeights } from '../../src/model/safetensors.ts';
import { loadTokenizer } from '../../src/text/tokenizer.ts';
import { tinyTokenizerJson } from '../text/tiny-tokenizer.ts';
import type { Dice } from './dice.ts';
import { fuzz } from './fuzz.ts';
import { jsonText, spoiled, spoiledBytes } from './mutate.ts';

const archFolder = join(import.meta.dir, '../golden/arch');
const configs: readonly unknown[] = readdirSync(archFolder)
  .filter((name) => existsSync(join(archFolder, name, 'config.json')))
  .map((name) => JSON.parse(readFileSync(join(archFolder, name, 'config.json'), 'utf8')));
const generation = { eos_token_id: [2, 3], temperature: 0.6 };
for (const config of configs) parseConfig(config, generation, 'config.json');

/** As a file would have it: through JSON's text, which has no `undefined`. */
function fileValue(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value) ?? 'null');
}

fuzz({
  name: 'config.json of each architecture',
  rounds: 6000,
  make: (dice) => fileValue(spoiled(dice, dice.pick(configs))),
  run(config) {
    const strange = strangeNumber(parseConfig(config, generation, 'config.json'));
    if (strange !== null) throw new Error(`taken, with ${strange}`);
  },
  codes: ['config'],
});

/** Where a number is none: the graph would be built with it. */
function strangeNumber(value: unknown, path = ''): string | null {
  if (typeof value === 'number') return Number.isFinite(value) ? null : `${path}: ${value}`;
  if (typeof value !== 'object' || value === null) return null;
  for (const [name, entry] of Object.entries(value)) {
    const found = strangeNumber(entry, `${path}.${name}`);
    if (found !== null) return found;
  }
  return null;
}

fuzz({
  name: 'generation_config.json',
  rounds: 500,
  make: (dice) => fileValue(spoiled(dice, generation)),
  run: (file) => parseConfig(configs[0], file, 'config.json'),
  codes: ['config'],
});

const header = {
  __metadata__: { format: 'pt' },
  a: { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] },
  b: { dtype: 'BF16', shape: [3], data_offsets: [16, 22] },
  c: { dtype: 'F16', shape: [], data_offsets: [22, 24] },
};

/** A file of weights whose header says its true length, or not. */
function weights(text: string, lengthOff = 0): Uint8Array<ArrayBuffer> {
  const head = Buffer.from(text);
  const bytes = new Uint8Array(8 + head.length + 24);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(Math.max(0, head.length + lengthOff)), true);
  bytes.set(head, 8);
  return bytes;
}

function spoiledWeights(dice: Dice): Uint8Array<ArrayBuffer> {
  if (dice.isOneIn(3)) return spoiledBytes(dice, weights(JSON.stringify(header)));
  const text = jsonText(dice, spoiled(dice, header));
  return weights(text, dice.isOneIn(6) ? dice.small(8) - dice.small(8) : 0);
}

fuzz({
  name: 'safetensors',
  rounds: 3000,
  make: spoiledWeights,
  run(bytes) {
    const read = readWeights([{ name: 'model.safetensors', bytes }]);
    for (const [name, shape] of [
      ['a', [2, 2]],
      ['b', [3]],
      ['c', []],
    ] as const) {
      if (read.has(name)) read.get(name, shape).floats();
    }
  },
  codes: ['config'],
});

fuzz({
  name: 'tokenizer.json',
  rounds: 300,
  make: (dice) => fileValue(spoiled(dice, tinyTokenizerJson())),
  run(tokenizer) {
    const loaded = loadTokenizer({ tokenizer, tokenizerConfig: {} });
    const ids = loaded.encode('hello w\u00f6rld <|im_end|>', { addSpecialTokens: true });
    loaded.decode(ids, { skipSpecial: false });
    for (const id of ids) loaded.describe(id);
  },
  codes: ['config'],
  quotes: true,
});

const tokenizerConfig = {
  bos_token: null,
  eos_token: '<|im_end|>',
  added_tokens_decoder: { '262': { content: 'x', special: true } },
  model_max_length: 1e30,
};
fuzz({
  name: 'tokenizer_config.json',
  rounds: 300,
  make: (dice) => fileValue(spoiled(dice, tokenizerConfig)),
  run: (config) =>
    loadTokenizer({ tokenizer: tinyTokenizerJson(), tokenizerConfig: config }).encode('hello', {
      addSpecialTokens: true,
    }),
  codes: ['config'],
  quotes: true,
});
