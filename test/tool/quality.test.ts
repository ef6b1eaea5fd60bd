// `tdist verify --against float32`: its arithmetic, and the tool over a small model.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fp8Config } from '../../src/bench/model-folder.ts';
import { type Dimensions, randomModel } from '../../src/bench/random-model.ts';
import { divergence, largest } from '../../src/bench/verify/divergence.ts';
import { runQuality } from '../../src/bench/verify/quality.ts';

describe('divergence', () => {
  const p = Float32Array.of(1, 2, 3, -4);

  test('of the same is 0, however they are shifted', () => {
    expect(divergence(p, p)).toBe(0);
    const shifted = p.map((logit) => logit + 700);
    expect(divergence(p, shifted)).toBeLessThan(1e-6);
    expect(divergence(shifted, p)).toBeLessThan(1e-6);
  });

  test('by its definition', () => {
    const q = Float32Array.of(0, 2.5, 1, 1);
    const shares = (logits: Float32Array): number[] => {
      const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
      return [...logits].map((logit) => Math.exp(logit) / sum);
    };
    const [a, b] = [shares(p), shares(q)];
    const wanted = a.reduce((sum, share, i) => sum + share * Math.log(share / (b[i] ?? 0)), 0);
    expect(divergence(p, q)).toBeCloseTo(wanted, 6);
    expect(wanted).toBeGreaterThan(0.1);
  });

  test('what p leaves out costs nothing', () => {
    const certain = Float32Array.of(0, -Infinity);
    expect(divergence(certain, Float32Array.of(0, 0))).toBeCloseTo(Math.log(2), 6);
    expect(divergence(certain, certain)).toBe(0);
  });

  test('the largest, and the first of several', () => {
    expect(largest(Float32Array.of(-3, 5, 5, 1))).toBe(1);
  });
});

describe('the tool', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tdist-quality-'));
  const before = process.env['XDG_CACHE_HOME'];
  beforeAll(() => {
    process.env['XDG_CACHE_HOME'] = folder;
  });
  afterAll(() => {
    if (before === undefined) delete process.env['XDG_CACHE_HOME'];
    else process.env['XDG_CACHE_HOME'] = before;
    rmSync(folder, { recursive: true });
  });
  const small: Dimensions = {
    ...{ name: 'small', hidden: 128, layers: 2, heads: 4, kvHeads: 2, headDim: 32, ffn: 256 },
    ...{ vocab: 4000, ropeTheta: 10_000, positions: 160 },
  };
  async function ran(dimensions: Dimensions, quantization: 'auto' | 'none' | 'int8' | 'int4') {
    const lines: string[] = [];
    const modelName = await randomModel(dimensions, { cacheDir: folder, seed: 1 });
    const place = { device: 'cpu', ortDir: null, weightDtype: 'auto' } as const;
    const options = { modelName, quantization, threadCount: 1, ...place };
    const code = await runQuality(options, (line) => lines.push(line));
    return { code, lines, sum: JSON.parse(lines.at(-1) ?? '') };
  }

  test('eight bits are nearer than four, and neither is the same', async () => {
    const [eight, four] = [await ran(small, 'int8'), await ran(small, 'int4')];
    for (const { code, lines, sum } of [eight, four]) {
      expect(code).toBe(0);
      expect(sum.prompts).toBeGreaterThan(5);
      expect(sum.tokens).toBeGreaterThan(sum.prompts);
      expect(lines[0]?.split('\n').length).toBe(sum.prompts + 1);
      expect(sum.agreementPercent).toBeLessThanOrEqual(100);
      expect(sum.meanKl).toBeGreaterThan(0);
      expect(sum.mostKl).toBeGreaterThan(sum.meanKl);
    }
    expect(four.sum.meanKl).toBeGreaterThan(5 * eight.sum.meanKl);
    expect(eight.sum.agreementPercent).toBeGreaterThan(four.sum.agreementPercent);
    expect(four.sum).toMatchObject({ quantization: 'int4', against: 'float32' });
  }, 30_000);

  test('a model in fp8 is compared as it is served without the flag', async () => {
    const { sum } = await ran({ ...small, name: 'fp8', format: 'fp8', config: fp8Config }, 'auto');
    expect(sum).toMatchObject({ quantization: 'int8' });
    expect(sum.meanKl).toBeLessThan(0.05);
  }, 30_000);

  test('float32 is not compared with itself', async () => {
    await expect(ran(small, 'auto')).rejects.toThrow('is computed in float32 itself; give --quant');
  });
});
