// Where libonnxruntime.so.1 is. The compiled executable carries the one that the onnxruntime-node
// package ships and writes it once into the cache folder: the dynamic loader needs a real file.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import embedded from '../../node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1' with {
  type: 'file',
};
import { writeCached } from '../std/cached-file.ts';
import { Fault } from '../std/fault.ts';

/** ONNX Runtime's CUDA provider, which lies beside the library that loads it. */
export const cudaLibrary = 'libonnxruntime_providers_cuda.so';

/** The version whose function table `ort.ts` knows. */
export const ortVersion = '1.30.0';

/**
 * The library of a folder that also holds providers, as the wheel onnxruntime-gpu has them: a provider
 * works only with the library that it was built with.
 */
export function ortLibraryIn(folder: string): string {
  const names = [`libonnxruntime.so.${ortVersion}`, 'libonnxruntime.so.1', 'libonnxruntime.so'];
  const found = names.map((name) => join(folder, name)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new Fault(
    'config',
    `${folder} holds ${cudaLibrary} but no ${names[0]}; give the folder of both by --ort-dir`,
  );
}

/** Path of a loadable library, copied out of the executable into `cacheDir` where need be. */
export async function ortLibraryPath(cacheDir: string): Promise<string> {
  if (!embedded.startsWith('/$bunfs/')) return embedded;
  const file = Bun.file(embedded);
  // The size tells a half-written copy; the rename makes whole copies appear at once.
  const target = join(cacheDir, `libonnxruntime-${ortVersion}-${file.size}.so`);
  if (existsSync(target) && Bun.file(target).size === file.size) return target;
  await writeCached(target, { what: 'ONNX Runtime', content: file, mode: 0o644 });
  return target;
}
