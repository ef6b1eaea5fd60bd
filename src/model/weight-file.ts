// A file of weights as addresses: mapped, so that only what is looked at is ever in memory and all
// processes of a host share it, or held whole where it cannot be mapped (inside the executable). An
// address is a plain number, so any thread of the process may be told of it.

import { closeSync, fstatSync, openSync } from 'node:fs';
import { addressOf, type Mapping, mapSharedFile, unmap } from '../std/memory.ts';

export type WeightFile =
  | { readonly name: string; readonly bytes: Uint8Array }
  | { readonly name: string; readonly mapping: Mapping };

/** Where the file lies. `isMapped`: its pages may be given back, and come again when looked at. */
export type Region = {
  readonly address: number;
  readonly bytes: number;
  readonly isMapped: boolean;
};

/** @param name in messages. The mapping holds until `close`. */
export function mapWeightFile(name: string, path: string): WeightFile & { close(): void } {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    // Nothing can be mapped of an empty file.
    if (size === 0) return { name, bytes: new Uint8Array(), close: () => undefined };
    const mapping = mapSharedFile(fd, size, 'read');
    return { name, mapping, close: () => unmap(mapping) };
  } finally {
    closeSync(fd);
  }
}

/** Valid while the file's mapping, or its bytes, are held. */
export function regionOf(file: WeightFile): Region {
  if ('mapping' in file) return { ...file.mapping, isMapped: true };
  const { bytes } = file;
  // A small array moves when its buffer is asked for first: so that comes before the address.
  const { buffer, byteOffset, byteLength } = bytes;
  if (byteLength === 0) return { address: 0, bytes: 0, isMapped: false };
  const held = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
  return { address: addressOf(held), bytes: byteLength, isMapped: false };
}
