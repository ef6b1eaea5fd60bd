import { afterEach, describe, expect, test } from 'bun:test';
import { rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { openModel, openModelText } from '../../src/model/folder.ts';
import { toFault } from '../../src/std/fault.ts';
import { safetensors, tinyConfig, tinyTensors, writeTinyModel } from './tiny-llama.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A tiny model's folder, changed by `change`. */
function folderWith(change: (write: (file: string, text: string) => void) => void): string {
  const folder = writeTinyModel(1);
  folders.push(folder);
  change((file, text) => writeFileSync(join(folder, file), text));
  return folder;
}

const plain = (): string => folderWith(() => undefined);

function without(file: string): string {
  const folder = plain();
  unlinkSync(join(folder, file));
  return folder;
}

function faultOf(name: string, open: (name: string) => unknown = openModel): string {
  try {
    open(name);
  } catch (thrown) {
    const { code, message } = toFault(thrown);
    return `${code}: ${message}`;
  }
  return 'none';
}

describe('openModel', () => {
  test('describes a folder; its weights wait until they are asked for', () => {
    const folder = plain();
    const model = openModel(folder);
    expect(model.source).toBe(basename(folder));
    expect(model.config.layers).toBe(tinyConfig.num_hidden_layers);
    for (const digest of [model.modelDigest, model.textDigest]) {
      expect(digest).toMatch(/^[0-9a-f]{64}$/);
    }
    expect(model.weights().has('model.norm.weight')).toBeTrue();
    expect(openModel(`${folder}/`).source).toBe(basename(folder));
  });

  test('the digests follow the content, not the place', () => {
    const digests = (folder: string): [string, string] => {
      const { modelDigest, textDigest } = openModel(folder);
      return [modelDigest, textDigest];
    };
    const [model, text] = digests(plain());
    expect(digests(plain())).toEqual([model, text]);
    const other = folderWith((write) =>
      write('config.json', JSON.stringify({ ...tinyConfig, rope_theta: 5 })),
    );
    expect(digests(other)[0]).not.toBe(model);
    expect(digests(other)[1]).toBe(text);
    const spoken = folderWith((write) => write('tokenizer.json', '{"a":1}'));
    expect(digests(spoken)[0]).toBe(model);
    expect(digests(spoken)[1]).not.toBe(text);
    const stops = folderWith((write) => write('generation_config.json', '{"eos_token_id":3}'));
    expect(digests(stops)[0]).not.toBe(model);
    expect(openModel(stops).config.eosIds).toEqual([3]);
  });

  test('takes the chat template into the tokenizer’s config where it is a file of its own', () => {
    const template = "{{ messages[0]['content'] }} é";
    const apart = folderWith((write) => {
      write('tokenizer_config.json', '{"bos_token":"<s>"}');
      write('chat_template.jinja', template);
    });
    expect(JSON.parse(new TextDecoder().decode(openModel(apart).tokenizerConfig))).toEqual({
      bos_token: '<s>',
      chat_template: template,
    });
    const inside = folderWith((write) => {
      write('tokenizer_config.json', '{"chat_template":"own"}');
      write('chat_template.jinja', template);
    });
    expect(new TextDecoder().decode(openModel(inside).tokenizerConfig)).toBe(
      '{"chat_template":"own"}',
    );
  });

  test('a folder that is not there, or a file in its place, is named with the flag', () => {
    expect(faultOf('/nowhere/model')).toStartWith(
      'config: --model-name /nowhere/model: no such folder; ',
    );
    expect(faultOf(join(plain(), 'config.json'))).toContain('no such folder');
    expect(faultOf('/nowhere', openModelText)).toStartWith('config: --tokenizer /nowhere: ');
  });

  for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) {
    test(`a missing ${file} is named`, () => {
      const folder = without(file);
      expect(faultOf(folder)).toBe(
        `config: ${join(folder, file)} is missing; a model folder needs it`,
      );
    });

    test(`a ${file} that is no JSON is named`, () => {
      const folder = folderWith((write) => write(file, '{"cut'));
      expect(faultOf(folder)).toBe(
        `config: ${join(folder, file)} is not valid JSON; download it again`,
      );
    });
  }

  test('a broken generation_config.json is named; a missing one is fine', () => {
    const folder = folderWith((write) => write('generation_config.json', ''));
    expect(faultOf(folder)).toContain(
      `${join(folder, 'generation_config.json')} is not valid JSON`,
    );
    expect(faultOf(plain())).toBe('none');
  });

  test('no weights at all', () => {
    expect(faultOf(without('model.safetensors'))).toContain('holds no *.safetensors file');
  });

  test('broken weights are named when they are asked for', () => {
    const folder = folderWith((write) => write('model.safetensors', 'short'));
    expect(faultOf(folder, (name) => openModel(name).weights())).toContain(
      `${join(folder, 'model.safetensors')} is not a valid safetensors file`,
    );
  });

  describe('weights in several files', () => {
    const [first, second] = [
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
    ];
    const index = 'model.safetensors.index.json';

    /** The tiny model's tensors in two files, and other copies that must be left alone. */
    function sharded(map?: (file: string) => string): string {
      const tensors = [...tinyTensors(1)];
      const half = tensors.slice(0, 12);
      const rest = tensors.slice(12);
      const folder = folderWith((write) => {
        const mapped = (file: string) => map?.(file) ?? file;
        const weight_map = Object.fromEntries([
          ...half.map(([name]) => [name, mapped(first)]),
          ...rest.map(([name]) => [name, mapped(second)]),
        ]);
        write(index, JSON.stringify({ metadata: { total_size: 1 }, weight_map }));
        write('consolidated.safetensors', 'not looked at');
      });
      writeFileSync(join(folder, first), safetensors(new Map(half)));
      writeFileSync(join(folder, second), safetensors(new Map(rest)));
      unlinkSync(join(folder, 'model.safetensors'));
      return folder;
    }

    test('those that the index names are read', () => {
      const whole = openModel(plain()).weights();
      const parts = openModel(sharded()).weights();
      for (const [name, { shape, values }] of tinyTensors(1)) {
        expect(parts.get(name, shape).floats()).toEqual(values);
        expect(whole.get(name, shape).floats()).toEqual(values);
      }
    });

    test('a missing one is named in one line', () => {
      const folder = sharded();
      unlinkSync(join(folder, second));
      expect(faultOf(folder)).toBe(
        `config: ${join(folder, index)} names 2 files of weights; missing: ${second}; download them`,
      );
    });

    test('an index that leads out of the folder, or is none, is refused', () => {
      expect(faultOf(sharded((file) => `../${file}`))).toContain(`${index}: weight_map.`);
      const folder = sharded();
      writeFileSync(join(folder, index), '{}');
      expect(faultOf(folder)).toContain(`${join(folder, index)}: weight_map: `);
      writeFileSync(join(folder, index), '{"weight_map":{}}');
      expect(faultOf(folder)).toContain('names 0 files of weights; missing: all');
    });

    test('one file wins over an index', () => {
      const folder = sharded();
      writeFileSync(join(folder, 'model.safetensors'), safetensors(tinyTensors(2)));
      const [name, { shape, values }] = [...tinyTensors(2)][0] ?? ['', { shape: [], values: [] }];
      expect(openModel(folder).weights().get(name, shape).floats()).toEqual(
        Float32Array.from(values),
      );
    });
  });
});
