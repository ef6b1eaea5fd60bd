// A host's shared memory: the files that arenas lie in, by name. A process that dies lets go of its
// files and leaves them behind; who has mapped one keeps it.

import type { OwnFile, ShmFiles } from '../kv/shm-files.ts';
import { Fault } from '../std/fault.ts';
import { type Mapping, mapAnonymousMemory, unmap, viewBytes } from '../std/memory.ts';

type File = { readonly mapping: Mapping; isHeld: boolean };

export class SimHost {
  readonly name: string;
  readonly #bytesMax: number;
  readonly #files = new Map<string, File>();
  /** All that were ever made: readers may still look at those that are gone. */
  readonly #mappings: Mapping[] = [];

  constructor(name: string, bytesMax: number) {
    this.name = name;
    this.#bytesMax = bytesMax;
  }

  /** As one process sees them; `died` is called when it has ended without a word. */
  open(): ShmFiles & { died(): void } {
    const own = new Set<string>();
    return {
      create: (name, bytes) => {
        own.add(name);
        return this.#create(name, bytes, () => own.delete(name));
      },
      map: (name) => {
        const file = this.#files.get(name);
        if (file !== undefined) return file.mapping;
        throw new Fault('transfer', `KV arena ${name} is gone; its worker has died or restarted`);
      },
      unmap: () => undefined,
      has: (name) => this.#files.has(name),
      names: () => [...this.#files.keys()],
      removeUnheld: (name) => {
        if (this.#files.get(name)?.isHeld !== false) return false;
        return this.#files.delete(name);
      },
      died: () => {
        for (const name of own) {
          const file = this.#files.get(name);
          if (file !== undefined) file.isHeld = false;
        }
      },
    };
  }

  /** Of files whose owners are alive. */
  get heldNames(): readonly string[] {
    return [...this.#files].filter(([, { isHeld }]) => isHeld).map(([name]) => name);
  }

  /** A file's bytes, for whoever wants to damage them; null when there is none of that name. */
  bytesOf(name: string): Uint8Array | null {
    const file = this.#files.get(name);
    return file === undefined ? null : viewBytes(file.mapping.address, file.mapping.bytes);
  }

  close(): void {
    for (const mapping of this.#mappings.splice(0)) unmap(mapping);
  }

  #create(name: string, bytes: number, onClose: () => void): OwnFile {
    const used = [...this.#files.values()].reduce((sum, { mapping }) => sum + mapping.bytes, 0);
    if (used + bytes > this.#bytesMax) {
      throw new Fault('config', `/dev/shm has no room for the KV arena of ${bytes} bytes`);
    }
    const mapping = mapAnonymousMemory(bytes);
    this.#mappings.push(mapping);
    this.#files.set(name, { mapping, isHeld: true });
    const close = (): void => {
      this.#files.delete(name);
      onClose();
    };
    return { mapping, close };
  }
}
