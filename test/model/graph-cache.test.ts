import { afterAll, beforeEach, describe, expect, test } from 'bun:test';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { openModel } from '../../src/model/folder.ts';
import { cachedGraph } from '../../src/model/graph-cache.ts';
import type { Weights } from '../../src/model/safetensors.ts';
import { toFault } from '../../src/std/fault.ts';
import { writeTinyModel } from './tiny-llama.ts';

const folder = writeTinyModel(3);
const model = openModel(folder);
const caches: string[] = [];
let cacheDir = '';
beforeEach(() => {
  cacheDir = mkdtempSync(join(tmpdir(), 'tdist-cache-'));
  caches.push(cacheDir);
});
afterAll(() => {
  for (const path of [folder, ...caches]) rmSync(path, { recursive: true, force: true });
});

/** Builds, counting how often the weights were wanted. */
function build(weights: () => Weights = model.weights, modelDigest = model.modelDigest) {
  let reads = 0;
  const path = cachedGraph(model.config, {
    modelDigest,
    cacheDir,
    weights() {
      reads++;
      return weights();
    },
  });
  return { path, reads };
}

const entries = (): string[] => readdirSync(join(cacheDir, 'graphs'));

describe('cachedGraph', () => {
  test('builds once, then finds what it built', () => {
    const first = build();
    expect(first.reads).toBe(1);
    const written = statSync(first.path).mtimeMs;
    expect(build()).toEqual({ path: first.path, reads: 0 });
    expect(statSync(first.path).mtimeMs).toBe(written);
    expect(readdirSync(dirname(first.path)).sort()).toEqual(['model.onnx', 'weights.bin']);
    expect(entries().length).toBe(1);
  });

  test('another model is another graph beside it', () => {
    const first = build();
    const other = build(model.weights, 'ef'.repeat(32));
    expect(other.path).not.toBe(first.path);
    expect(entries().length).toBe(2);
  });

  test('weights lie at page boundaries and hold the values', () => {
    const { path } = build();
    const data = readFileSync(join(dirname(path), 'weights.bin'));
    const embedding = model.weights().get('model.embed_tokens.weight', [320, 64]).floats();
    expect<Float32Array>(new Float32Array(data.buffer, data.byteOffset, 320 * 64)).toEqual(
      embedding,
    );
    const text = readFileSync(path).toString('latin1');
    // A StringStringEntryProto: "offset", two bytes of tag and length, the digits.
    const offsets = text
      .split('offset')
      .slice(1)
      .map((rest) => Number.parseInt(rest.slice(2), 10));
    expect(offsets.length).toBeGreaterThan(20);
    for (const offset of offsets) expect(offset % 4096).toBe(0);
    expect(new Set(offsets).size).toBe(offsets.length);
  });

  test('two at once: the slower one finds the faster one’s, whole', () => {
    const inner: string[] = [];
    // While the outer build reads its weights, another worker builds from start to end.
    const outer = build(() => {
      inner.push(build().path);
      return model.weights();
    });
    expect(inner).toEqual([outer.path]);
    expect(existsSync(outer.path)).toBeTrue();
    expect(entries().length).toBe(1); // neither left its half-built folder
  });

  test('what a killed builder left neither hinders nor stays', () => {
    const { path } = build();
    const key = dirname(path);
    rmSync(key, { recursive: true });
    for (const suffix of [process.pid, 'Ab12Cd']) {
      mkdirSync(`${key}.${suffix}`);
      writeFileSync(join(`${key}.${suffix}`, 'weights.bin'), 'half');
    }
    mkdirSync(join(cacheDir, 'graphs', 'another-model.123'));
    expect(build()).toEqual({ path, reads: 1 });
    expect(entries().sort()).toEqual([dirname(path).split('/').at(-1) ?? '', 'another-model.123']);
  });

  test('a failed build leaves nothing and keeps its own fault', () => {
    const failing = (): Weights => ({
      ...model.weights(),
      get(name, shape) {
        if (name === 'model.norm.weight') throw new Error('disk full');
        return model.weights().get(name, shape);
      },
    });
    expect(() => build(failing)).toThrow(/^building the model's graph in .*: disk full; free some/);
    expect(entries()).toEqual([]);
    const missing = (): Weights => ({
      has: () => false,
      get: (name) => {
        throw toFault(new Error(`${name} is missing`), 'config');
      },
    });
    expect(() => build(missing)).toThrow('model.embed_tokens.weight is missing');
    expect(entries()).toEqual([]);
    expect(build().reads).toBe(1);
  });

  test('a cache folder that cannot be written is named with the mend', () => {
    cacheDir = join(folder, 'config.json'); // a file: not even root can make a folder in it
    let fault = toFault('none');
    try {
      build();
    } catch (thrown) {
      fault = toFault(thrown);
    }
    expect(fault.code).toBe('config');
    expect(fault.message).toContain(`building the model's graph in ${cacheDir}: `);
    expect(fault.message).toContain('set XDG_CACHE_HOME to another folder');
  });
});
