// Where a worker computes, from what the user said and what the machine has. Pure.

import type { DeviceKind } from '../model/device/device.ts';
import type { Precision } from '../model/onnx/graph.ts';
import { cudaLibrary, ortVersion } from '../model/ort-library.ts';
import { Fault } from '../std/fault.ts';

export type DeviceMemory = { readonly totalBytes: number; readonly freeBytes: number };

export type DeviceFacts = {
  /** The Vulkan loader is installed. */
  readonly hasVulkan: boolean;
  /** Some GPU's driver shows itself. */
  readonly hasGpu: boolean;
  /** Where ONNX Runtime's CUDA provider lies; null: not found in any of `cudaSearched`. */
  readonly cudaDir: string | null;
  readonly cudaSearched: readonly string[];
  /** Of the first GPU, where its driver tells. */
  readonly memory: DeviceMemory | null;
};

/** What a machine without any looks like. */
export const noDevices: DeviceFacts = {
  hasVulkan: false,
  hasGpu: false,
  cudaDir: null,
  cudaSearched: [],
  memory: null,
};

export type ComputeKind = 'cpu' | DeviceKind;

export type Choice = { readonly device: ComputeKind; readonly precision: Precision };

/**
 * What to try, in this order; more than one only where something is `auto`. Throws a Fault `config`
 * that says what is missing.
 */
export function chooseDevices(
  wanted: { device: ComputeKind | 'auto'; dtype: 'auto' | Precision | 'bfloat16' },
  facts: DeviceFacts,
): readonly Choice[] {
  return devicesFor(wanted.device, facts).flatMap((device) =>
    precisionsFor(device, wanted.dtype).map((precision) => ({ device, precision })),
  );
}

/** The CPU computes in float32 whatever is wanted: the flag's notice says so. */
function precisionsFor(
  device: ComputeKind,
  dtype: 'auto' | Precision | 'bfloat16',
): readonly Precision[] {
  if (device === 'cpu') return ['float32'];
  if (dtype === 'bfloat16' || (device === 'cuda' && dtype === 'float32')) {
    throw new Fault(
      'config',
      `--dtype ${dtype}: not available with --device ${device}; use ${device === 'cuda' ? 'float16' : 'float16 or float32'}`,
    );
  }
  if (dtype !== 'auto') return [dtype];
  // Not every GPU computes in float16 through WebGPU; CUDA's attention knows nothing else.
  return device === 'cuda' ? ['float16'] : ['float16', 'float32'];
}

function devicesFor(wanted: ComputeKind | 'auto', facts: DeviceFacts): readonly ComputeKind[] {
  const mend = 'or use --device cpu';
  switch (wanted) {
    case 'cpu':
      return ['cpu'];
    case 'webgpu':
      if (facts.hasVulkan) return ['webgpu'];
      throw new Fault(
        'config',
        `--device webgpu: libvulkan.so.1, the Vulkan loader, is not installed; install it (Debian: libvulkan1) and your GPU's driver, ${mend}`,
      );
    case 'cuda':
      if (facts.cudaDir !== null) return ['cuda'];
      throw new Fault(
        'config',
        `--device cuda: ${cudaLibrary} is not in ${facts.cudaSearched.join(' or ')}; unpack the wheel onnxruntime-gpu ${ortVersion} and give its folder onnxruntime/capi by --ort-dir, ${mend}`,
      );
    case 'auto':
      return [
        ...(facts.cudaDir !== null && facts.memory !== null ? (['cuda'] as const) : []),
        // Without a GPU, Vulkan's software drivers would be found: slower than our CPU path.
        ...(facts.hasVulkan && facts.hasGpu ? (['webgpu'] as const) : []),
        'cpu',
      ];
  }
}
