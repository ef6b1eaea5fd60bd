// A device's session and slots against the CPU's, over Vulkan in software (deploy/setup/vulkan.mjs) in a
// process of its own. Skipped where that driver is not there.

import { afterAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { openModel } from '../../src/model/folder.ts';
import { cachedGraph } from '../../src/model/graph-cache.ts';
import type { Precision } from '../../src/model/onnx/graph.ts';
import { writeTinyModel } from './tiny-llama.ts';

const drivers = resolve(import.meta.dir, '../../build/vulkan');
const driver = join(drivers, 'vk_swiftshader_icd.json');
const folder = writeTinyModel(7);
const cacheDir = mkdtempSync(join(tmpdir(), 'tdist-cache-'));
const model = openModel(folder, 'none', cacheDir);

afterAll(() => {
  rmSync(folder, { recursive: true });
  rmSync(cacheDir, { recursive: true });
});

const graphOf = (precision: Precision): string =>
  cachedGraph(model.config, { ...model, cacheDir, precision });

async function compared(precision: Precision, env: Readonly<Record<string, string>>) {
  const main = join(import.meta.dir, 'device-main.ts');
  const args = [graphOf('float32'), graphOf(precision), precision];
  const child = Bun.spawn([process.execPath, main, ...args], {
    env: { ...process.env, ...env },
    stderr: 'pipe',
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, out, err };
}

const software = { VK_DRIVER_FILES: driver, LD_LIBRARY_PATH: drivers };

describe.skipIf(!existsSync(driver))('webgpu in software', () => {
  test('computes what the CPU does', async () => {
    const { code, out, err } = await compared('float32', software);
    expect([code, code === 0 ? '' : err]).toEqual([0, '']);
    const { found, trusted } = JSON.parse(out) as {
      found: Record<string, number>;
      trusted: number;
    };
    expect(Object.keys(found).length).toBe(13);
    for (const [name, difference] of Object.entries(found)) {
      expect([name, difference <= 1e-4]).toEqual([name, true]);
    }
    expect(trusted).toBe(24);
  });

  test('says that it has no float16', async () => {
    const { code, err } = await compared('float16', software);
    expect(code).not.toBe(0);
    expect(err).toContain('requires f16 but the device does not support it');
  });
});

test('without a driver it says so', async () => {
  const { code, err } = await compared('float32', { VK_DRIVER_FILES: '/nowhere.json' });
  expect(code).not.toBe(0);
  expect(err).toMatch(/starting WebGPU: ONNX Runtime says: .*/);
});
