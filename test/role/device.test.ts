// Where a worker computes, how much of a device it takes, and whether the device is believed. Pure parts;
// the device itself is in test/model/device.test.ts.

import { describe, expect, test } from 'bun:test';
import type { Runner } from '../../src/engine/runner.ts';
import { chooseDevices, type DeviceFacts } from '../../src/role/device-choice.ts';
import { sizeOnDevice } from '../../src/role/device-sizing.ts';
import { trustedStep } from '../../src/role/device-trial.ts';
import type { SizingOptions } from '../../src/role/sizing.ts';

const nothing: DeviceFacts = {
  hasVulkan: false,
  hasGpu: false,
  cudaDir: null,
  cudaSearched: ['/opt/ort', '/usr/bin'],
  memory: null,
};
const memory = { totalBytes: 2 ** 34, freeBytes: 2 ** 33 };
const everything: DeviceFacts = {
  hasVulkan: true,
  hasGpu: true,
  cudaDir: '/opt/ort',
  cudaSearched: ['/opt/ort'],
  memory,
};

describe('a device is chosen', () => {
  const names = (device: 'auto' | 'cpu' | 'webgpu' | 'cuda', facts: DeviceFacts) =>
    chooseDevices({ device, dtype: 'auto' }, facts).map(
      (choice) => `${choice.device} ${choice.precision}`,
    );

  test('as it is named', () => {
    expect(names('cpu', everything)).toEqual(['cpu float32']);
    expect(names('webgpu', everything)).toEqual(['webgpu float16', 'webgpu float32']);
    expect(names('cuda', everything)).toEqual(['cuda float16']);
  });

  test('auto: what there is, the CPU last; no Vulkan without a GPU', () => {
    expect(names('auto', nothing)).toEqual(['cpu float32']);
    expect(names('auto', { ...nothing, hasVulkan: true })).toEqual(['cpu float32']);
    expect(names('auto', { ...nothing, hasVulkan: true, hasGpu: true })).toEqual([
      'webgpu float16',
      'webgpu float32',
      'cpu float32',
    ]);
    expect(names('auto', everything)[0]).toBe('cuda float16');
    // The provider alone is no GPU.
    expect(names('auto', { ...nothing, cudaDir: '/opt/ort' })).toEqual(['cpu float32']);
  });

  test('what is missing is said with its mend', () => {
    expect(() => names('webgpu', nothing)).toThrow(
      /--device webgpu: libvulkan.so.1.*Debian: libvulkan1.*--device cpu/,
    );
    expect(() => names('cuda', nothing)).toThrow(
      /--device cuda: libonnxruntime_providers_cuda.so is not in \/opt\/ort or \/usr\/bin.*--ort-dir/,
    );
  });

  test('a precision that the device has not is refused; on the CPU it changes nothing', () => {
    const choose = (device: 'cpu' | 'webgpu' | 'cuda', dtype: 'float32' | 'float16' | 'bfloat16') =>
      chooseDevices({ device, dtype }, everything).map((choice) => choice.precision);
    expect(choose('webgpu', 'float32')).toEqual(['float32']);
    expect(choose('cpu', 'bfloat16')).toEqual(['float32']);
    expect(() => choose('cuda', 'float32')).toThrow(/--dtype float32.*use float16$/);
    expect(() => choose('webgpu', 'bfloat16')).toThrow(/use float16 or float32$/);
  });
});

describe('a device is shared out', () => {
  const geometry = { layers: 2, kvHeads: 2, headDim: 32, blockTokens: 16 };
  const perToken = 2 * 2 * 2 * 32 * 4;
  const options: SizingOptions = {
    geometry,
    kvDtype: 'float32',
    positions: 1000,
    isContext: false,
    hasArena: true,
    maxModelLen: null,
    seqCountMax: null,
    requestCountMax: 100,
    arenaBytes: null,
    shmBytes: 2 ** 30,
    freeBytes: 2 ** 30,
    memoryBytes: 2 ** 30,
    weightBytes: 1_000_000,
  };
  const room = (tokens: number) => ({
    memory: { totalBytes: 2 ** 40, freeBytes: (1_000_000 + tokens * perToken) / 0.5 },
    share: 0.5,
    precision: 'float32' as const,
  });

  test('whole slots, and one aside', () => {
    expect(sizeOnDevice(options, room(5000), 7)).toEqual({
      maxModelLen: 555, // 5000 over 8 slots and the one aside
      slots: 8,
      tokensMax: 8 * 555,
      arenaBytes: 7,
    });
    expect(sizeOnDevice(options, room(200_000), 7)).toMatchObject({ maxModelLen: 1000, slots: 32 });
    const wanted = { ...options, seqCountMax: 3 };
    expect(sizeOnDevice(wanted, room(2000), 7)).toMatchObject({ maxModelLen: 500, slots: 3 });
  });

  test('in float16 twice as much', () => {
    const half = { ...room(5000), precision: 'float16' as const };
    expect(sizeOnDevice({ ...options, weightBytes: 2_000_000 }, half, 7).maxModelLen).toBe(1000);
  });

  test('what does not fit is refused with both numbers', () => {
    const wanted = { ...options, seqCountMax: 9, maxModelLen: 1000 };
    expect(() => sizeOnDevice(wanted, room(5000), 7)).toThrow(
      /9 sequences of 1000 tokens, and one aside, need 10 MiB .* 1 MiB of weights, and 6 MiB/,
    );
  });
});

describe('a device is tried', () => {
  /** Logits that say what was fed; chunks above `wrongAbove` come out wrong. */
  function runner(wrongAbove: number, wrong = 9): Runner {
    let sum = 0;
    const prefill: Runner['prefill'] = ({ past, ids }) => {
      if (past === 0) sum = 0;
      for (const id of ids) sum = (sum * 31 + id) % 997;
      const bend = ids.length > wrongAbove ? wrong : 0;
      return Float32Array.from({ length: 8 }, (_, i) => Math.sin(sum + i + bend));
    };
    const unused = (): never => {
      throw new Error('not asked for');
    };
    return { vocabSize: 8, prefill, prefillTogether: unused, decode: unused };
  }
  const options = { kind: 'webgpu', capacity: 512, stepTokens: 256 } as const;

  test('right: whole steps', () => expect(trustedStep(runner(256), options)).toBe(256));
  test('wrong in large steps: small ones', () => {
    expect(trustedStep(runner(16), options)).toBe(16);
    expect(trustedStep(runner(16, Number.NaN), options)).toBe(16);
  });
  test('wrong at all: refused', () => {
    expect(() => trustedStep(runner(1), options)).toThrow(/--device webgpu.*update the driver/);
  });
});
