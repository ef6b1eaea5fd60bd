// A context worker's shared-memory segment: a file in /dev/shm of fixed size, all of it allocated at
// the start, cut into blocks. The owner holds a file lock on it for life, so whoever comes later can
// tell a living owner's arena from one that a killed process left behind (kv/janitor.ts).

import { closeSync, ftruncateSync, openSync, rmSync } from 'node:fs';
import type { Geometry } from '../protocol/ticket.ts';
import { Fault } from '../std/fault.ts';
import {
  allocateFile,
  isFileAt,
  lockFile,
  type Mapping,
  mapSharedFile,
  unmap,
  viewBytes,
} from '../std/memory.ts';
import { blockHeaderBytes } from './block.ts';
import { tokenBytes } from './geometry.ts';

export const shmFolder = '/dev/shm';
export const arenaPrefix = 'tdist-';
const pageBytes = 4096;

/** Distance between two blocks of an arena. */
export function blockStride(geometry: Geometry): number {
  const bytes = blockHeaderBytes + geometry.blockTokens * tokenBytes(geometry);
  return Math.ceil(bytes / pageBytes) * pageBytes;
}

/** A mapped arena, the owner's or a reader's. */
export type ArenaView = {
  readonly name: string;
  readonly mapping: Mapping;
  readonly bytes: Uint8Array;
};

export class Arena implements ArenaView {
  readonly name: string;
  readonly mapping: Mapping;
  readonly bytes: Uint8Array;
  readonly blockCount: number;
  readonly stride: number;
  readonly #fd: number;

  /** @param id letters, digits, `-` and `_`: the worker's instance id. */
  constructor(id: string, geometry: Geometry, sizeBytes: number) {
    this.name = `${arenaPrefix}${id}`;
    this.stride = blockStride(geometry);
    this.blockCount = Math.floor(sizeBytes / this.stride);
    if (this.blockCount < 1) {
      throw new Fault(
        'config',
        `--kv-arena-bytes ${sizeBytes} holds no block; one block of this model takes ${this.stride} bytes`,
      );
    }
    const bytes = this.blockCount * this.stride;
    this.#fd = createLocked(`${shmFolder}/${this.name}`, bytes);
    this.mapping = mapSharedFile(this.#fd, bytes, 'write');
    this.bytes = viewBytes(this.mapping.address, bytes);
  }

  close(): void {
    rmSync(`${shmFolder}/${this.name}`, { force: true });
    unmap(this.mapping);
    closeSync(this.#fd);
  }
}

function createLocked(path: string, bytes: number): number {
  const fd = openSync(path, 'wx+', 0o600);
  // A janitor may look between creation and lock and take the file for a dead owner's: look again.
  const locked = lockFile(fd, 'wait') && isFileAt(path, fd);
  if (!locked) {
    closeSync(fd);
    return createLocked(path, bytes);
  }
  ftruncateSync(fd, bytes);
  if (!allocateFile(fd, bytes)) {
    rmSync(path, { force: true });
    closeSync(fd);
    throw new Fault(
      'config',
      `/dev/shm has no room for the KV arena of ${bytes} bytes; free some or lower --kv-arena-bytes`,
    );
  }
  return fd;
}
