// Findings about the device that workers would compute on. Pure.

import type { Choice, DeviceFacts } from '../role/device-choice.ts';
import { type Finding, failOf, ok, sizeText, warn } from './finding.ts';
import type { Tried } from './model-check.ts';

/** @param wanted `--device`. @param choices what would be tried, in this order. */
export function checkDevice(
  wanted: string,
  choices: Tried<readonly Choice[]>,
  { memory, hasGpu }: DeviceFacts,
): Finding {
  const name = 'device';
  if ('fault' in choices) return failOf(name, choices.fault, 'see --device');
  const [first, ...rest] = choices.value.map(
    ({ device, precision }) => `${device} in ${precision}`,
  );
  const then = rest.length === 0 ? '' : `; if that does not work: ${rest.join(', then ')}`;
  const isDevice = choices.value[0]?.device !== 'cpu';
  const of =
    isDevice && memory !== null
      ? `, ${sizeText(memory.freeBytes)} of ${sizeText(memory.totalBytes)} free`
      : '';
  const text = `--device ${wanted}: ${first}${of}${then}`;
  if (!isDevice || hasGpu) return ok(name, text);
  return warn(
    name,
    `${text}; no GPU's driver shows itself here`,
    "install the GPU's driver and pass its device to a container, or use --device cpu",
  );
}
