// The engine's thread as the main thread sees it, on the real thing.

import { expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ortLibraryPath } from '../../src/model/ort-library.ts';
import { startEngine } from '../../src/role/engine-handle.ts';
import { TinyModel } from '../model/tiny-session.ts';

test('before its first event a worker says the room that it has, not what its slots could hold', async () => {
  const tiny = await TinyModel.make(1);
  const cacheDir = mkdtempSync(join(tmpdir(), 'tdist-cache-'));
  try {
    const { layers, kvHeads, headDim, vocabSize, eosIds } = tiny.model.config;
    const engine = await startEngine(
      {
        namespace: 'test',
        workerId: 'test',
        role: 'baseline',
        device: 'cpu',
        precision: 'float32',
        kvDtype: 'float32',
        libraryPath: await ortLibraryPath(cacheDir),
        modelPath: tiny.graphPath,
        modelDigest: tiny.model.modelDigest,
        geometry: { layers, kvHeads, headDim, blockTokens: 16 },
        vocabSize,
        eosIds,
        ignoreEos: false,
        maxModelLen: 300,
        slots: 4,
        tokensMax: 500,
        threads: 1,
        queueCountMax: 4,
        arenaBytes: 0,
        prefixCaching: false,
      },
      () => undefined,
    );
    expect(engine.load()).toMatchObject({ slots: 4, freeTokens: 500, running: 0, waiting: 0 });
    await engine.stop();
  } finally {
    tiny.close();
    rmSync(cacheDir, { recursive: true });
  }
});
