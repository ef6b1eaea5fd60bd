// What this machine has to compute with: looked up without starting any of it.

import { dlopen, ptr } from 'bun:ffi';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cudaLibrary, ortLibraryIn, ortLibraryPath } from '../model/ort-library.ts';
import type { ComputeKind, DeviceFacts, DeviceMemory } from './device-choice.ts';

/** @param ortDir `--ort-dir`, where there is one. */
export function lookAtDevices(ortDir: string | null): DeviceFacts {
  const searched = [...(ortDir === null ? [] : [ortDir]), dirname(process.execPath)];
  const memory = nvidiaMemory() ?? amdMemory();
  return {
    hasVulkan: canOpen('libvulkan.so.1'),
    hasGpu: memory !== null || hasRenderNode(),
    cudaDir: searched.find((folder) => existsSync(join(folder, cudaLibrary))) ?? null,
    cudaSearched: searched,
    memory,
  };
}

/** ONNX Runtime's library for a device: CUDA's provider works with the one that lies beside it alone. */
export async function libraryFor(
  device: ComputeKind,
  { cudaDir }: DeviceFacts,
  cacheDir: string,
): Promise<string> {
  if (device === 'cuda' && cudaDir !== null) return ortLibraryIn(cudaDir);
  return await ortLibraryPath(cacheDir);
}

function canOpen(library: string): boolean {
  try {
    // A function that every loadable library of this name has.
    dlopen(library, { vkGetInstanceProcAddr: { args: ['ptr', 'ptr'], returns: 'ptr' } }).close();
    return true;
  } catch {
    return false;
  }
}

function hasRenderNode(): boolean {
  try {
    return readdirSync('/dev/dri').some((name) => name.startsWith('renderD'));
  } catch {
    return false;
  }
}

/** By NVIDIA's management library, which comes with the driver: the first GPU that is visible to us. */
function nvidiaMemory(): DeviceMemory | null {
  try {
    const { symbols } = dlopen('libnvidia-ml.so.1', {
      nvmlInit_v2: { args: [], returns: 'i32' },
      nvmlDeviceGetHandleByIndex_v2: { args: ['u32', 'ptr'], returns: 'i32' },
      nvmlDeviceGetMemoryInfo: { args: ['u64', 'ptr'], returns: 'i32' },
      nvmlShutdown: { args: [], returns: 'i32' },
    });
    if (symbols.nvmlInit_v2() !== 0) return null;
    try {
      const handle = new BigUint64Array(1);
      if (symbols.nvmlDeviceGetHandleByIndex_v2(visibleGpu(), ptr(handle)) !== 0) return null;
      const info = new BigUint64Array(3); // total, free, used
      if (symbols.nvmlDeviceGetMemoryInfo(handle[0] ?? 0n, ptr(info)) !== 0) return null;
      return { totalBytes: Number(info[0]), freeBytes: Number(info[1]) };
    } finally {
      symbols.nvmlShutdown();
    }
  } catch {
    return null;
  }
}

function visibleGpu(): number {
  const first = /^\d+/.exec(process.env['CUDA_VISIBLE_DEVICES'] ?? '');
  return first === null ? 0 : Number(first[0]);
}

function amdMemory(): DeviceMemory | null {
  try {
    for (const card of readdirSync('/sys/class/drm')) {
      const folder = `/sys/class/drm/${card}/device`;
      if (!existsSync(`${folder}/mem_info_vram_total`)) continue;
      const totalBytes = Number(readFileSync(`${folder}/mem_info_vram_total`, 'utf8'));
      const usedBytes = Number(readFileSync(`${folder}/mem_info_vram_used`, 'utf8'));
      return { totalBytes, freeBytes: totalBytes - usedBytes };
    }
  } catch {
    // not this kind of system
  }
  return null;
}
