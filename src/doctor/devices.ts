// The devices that workers of these settings would try, looked up as they do, without starting any.

import type { WorkerSettings } from '../cli/config.ts';
import type { Model } from '../model/folder.ts';
import { chooseDevices } from '../role/device-choice.ts';
import { lookAtDevices } from '../role/device-look.ts';
import type { DeviceRoom } from '../role/device-sizing.ts';
import type { Sizing } from '../role/sizing.ts';
import { deviceMemory, dtypeOf } from '../role/worker-engine.ts';
import { checkDevice } from './device-check.ts';
import type { Finding } from './finding.ts';
import { type MemoryFacts, type Tried, tried } from './model-check.ts';

export type Devices = {
  /** None where the CPU was asked for. */
  readonly findings: readonly Finding[];
  /** In the order they would be tried; null: the CPU. */
  readonly rooms: readonly DeviceSpace[];
};

type DeviceSpace = { readonly name: string; readonly room: DeviceRoom } | null;

/** @param model null: not known yet. @param share of the device's memory that one worker may use. */
export async function examineDevices(
  settings: WorkerSettings,
  model: Model | null,
  share: number,
): Promise<Devices> {
  const { device, ortDir } = settings;
  if (device === 'cpu') return { findings: [], rooms: [null] };
  const found = lookAtDevices(ortDir);
  const facts = (model?.foreign ?? null) === null ? found : { ...found, cudaDir: null };
  const choices = await tried(() => {
    const dtype = model === null ? settings.weightDtype : dtypeOf({ config: settings, model });
    return chooseDevices({ device, dtype }, facts);
  });
  const memory = deviceMemory(facts);
  const rooms =
    'fault' in choices
      ? [] // said already; nothing is sized for what does not start
      : choices.value.map(
          ({ device: name, precision }): DeviceSpace =>
            name === 'cpu' ? null : { name, room: { memory, share, precision } },
        );
  return { findings: [checkDevice(device, choices, facts)], rooms };
}

/** On the first device that has room, as the workers take them; else why the last has none. */
export async function sizeOnFirst(
  rooms: Devices['rooms'],
  weightBytes: number,
  sizeOn: (room: DeviceRoom | null) => Sizing,
): Promise<readonly Omit<MemoryFacts['sizings'][number], 'kind'>[]> {
  let last: readonly { sizing: Tried<Sizing>; device?: DeviceMemoryFacts }[] = [];
  for (const space of rooms) {
    const sizing = await tried(() => sizeOn(space?.room ?? null));
    last = [{ sizing, ...(space === null ? {} : { device: memoryFacts(space, weightBytes) }) }];
    if ('value' in sizing) break;
  }
  return last;
}

type DeviceMemoryFacts = NonNullable<MemoryFacts['sizings'][number]['device']>;

function memoryFacts(
  { name, room }: NonNullable<DeviceSpace>,
  weightBytes: number,
): DeviceMemoryFacts {
  const part = room.precision === 'float16' ? 0.5 : 1;
  return { name, freeBytes: room.memory.freeBytes, weightBytes: weightBytes * part };
}
