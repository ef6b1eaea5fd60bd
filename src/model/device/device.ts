// What can compute beside the CPU: ONNX Runtime's names for it, and for its memory.

import type { Provider } from '../ort.ts';

export const deviceKinds = ['webgpu', 'cuda'] as const;
export type DeviceKind = (typeof deviceKinds)[number];

export type Device = {
  readonly kind: DeviceKind;
  readonly provider: Provider;
  /** Name of the device's memory. */
  readonly memory: string;
};

export const devices: Readonly<Record<DeviceKind, Device>> = {
  webgpu: { kind: 'webgpu', provider: { name: 'WebGPU' }, memory: 'WebGPU_Buf' },
  cuda: { kind: 'cuda', provider: { name: 'CUDA' }, memory: 'Cuda' },
};
