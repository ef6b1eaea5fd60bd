// Findings about the model that workers would load, and about the library that computes it. Pure but
// for reading the model, which is a port.

import type { Cached } from '../hub/cache.ts';
import type { Model } from '../model/folder.ts';
import type { Sizing } from '../role/sizing.ts';
import { toFault } from '../std/fault.ts';
import { type Finding, fail, failOf, ok, sizeText, warn } from './finding.ts';

/** What was tried, or the line that says why it cannot be. */
export type Tried<T> = { readonly value: T } | { readonly fault: string };

export async function tried<T>(work: () => T | Promise<T>): Promise<Tried<T>> {
  try {
    return { value: await work() };
  } catch (thrown) {
    return { fault: toFault(thrown).message };
  }
}

/** A model of the hub, and what the cache has of it. */
export type HubModel = {
  readonly name: string;
  readonly cacheDir: string;
  readonly offline: boolean;
  /** Null: nothing. */
  readonly cached: Cached | null;
};

export function isWhole({ cached }: HubModel): boolean {
  return cached !== null && cached.missing.length === 0;
}

/** @param hub null: the model is a folder, or built in. */
export function checkModel(model: Tried<Model>, hub: HubModel | null = null): Finding {
  if (hub !== null && !isWhole(hub)) return checkCached('model', hub);
  if ('fault' in model) {
    return failOf('model', model.fault, 'see --model-name: a folder in Hugging Face layout');
  }
  const { source, config, modelDigest, textDigest, weightBytes, quantization } = model.value;
  const kind = quantization === 'none' ? '' : `, as ${quantization}`;
  return ok(
    'model',
    `${source}${cachedText(hub)}: ${config.layers} layers, ${config.positions} positions, weights ${sizeText(weightBytes)}${kind}; ` +
      `digest ${modelDigest.slice(0, 12)}, text ${textDigest.slice(0, 12)}`,
  );
}

function cachedText(hub: HubModel | null): string {
  const commit = hub?.cached?.commit;
  return commit === undefined ? '' : `, in the cache at commit ${commit.slice(0, 12)}`;
}

/** Of one that is not whole. */
export function checkCached(what: string, { name, cacheDir, offline, cached }: HubModel): Finding {
  const found =
    cached === null
      ? `${name} is not in ${cacheDir}`
      : `${name} is in ${cacheDir} in part; missing: ${cached.missing.join(', ')}`;
  const mend = `tdist pull ${name} downloads it`;
  return offline
    ? fail(what, `${found}, and HF_HUB_OFFLINE is set`, `unset it; ${mend}`)
    : warn(what, `${found}: a start downloads it, and waits for that`, `${mend} before`);
}

export function checkLibrary(version: Tried<string>): Finding {
  if ('value' in version) return ok('onnxruntime', `${version.value} loads`);
  return fail(
    'onnxruntime',
    version.fault,
    'remove the copy in the cache folder and see that it may hold executable files (noexec matters there)',
  );
}

export type MemoryFacts = {
  readonly freeBytes: number;
  readonly weightBytes: number;
  /** By the kind of worker. */
  readonly sizings: readonly {
    readonly kind: string;
    readonly sizing: Tried<Sizing>;
    /** Where the weights and the KV in use lie; left out: in the machine's memory. */
    readonly device?: {
      readonly name: string;
      readonly freeBytes: number;
      readonly weightBytes: number;
    };
  }[];
  /** What the user, or else the model, would allow. */
  readonly wantedLen: number;
};

export function checkMemory(facts: MemoryFacts): readonly Finding[] {
  const { sizings, wantedLen } = facts;
  return sizings.map(({ kind, sizing, device }) => {
    const { freeBytes, weightBytes } = device ?? facts;
    const where = device === undefined ? '' : ` on ${device.name}`;
    const free = `${sizeText(freeBytes)} free${where}`;
    if ('fault' in sizing) {
      const { finding, mend } = failOf('memory', `${kind}: ${sizing.fault}`, 'free some');
      return { name: 'memory', status: 'fail', finding: `${free}; ${finding}`, mend };
    }
    const { maxModelLen, tokensMax, slots, arenaBytes } = sizing.value;
    const text =
      `${free}; ${kind}: ${sizeText(weightBytes)} of weights, ${sizeText(arenaBytes)} of arena, ` +
      `KV of ${tokensMax} tokens in ${slots} slots, prompts up to ${maxModelLen}`;
    if (maxModelLen >= wantedLen) return ok('memory', text);
    return warn(
      'memory',
      `${text} instead of ${wantedLen}`,
      'free memory or /dev/shm, raise --gpu-memory-utilization, or give --max-model-len',
    );
  });
}
