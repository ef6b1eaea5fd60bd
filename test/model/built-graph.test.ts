// The graph built by a crew: the same bytes as on one thread, once for all who want it at one moment, and
// in a bounded piece of memory.

import { afterAll, beforeEach, describe, expect, test } from 'bun:test';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Model, openModel } from '../../src/model/folder.ts';
import { type Builders, builtGraph, cachedGraph } from '../../src/model/graph-cache.ts';
import { type Crew, runJob } from '../../src/model/weight-writer.ts';
import { openWeightCrew } from '../../src/role/weight-crew.ts';
import { type Clock, ManualClock } from '../../src/std/clock.ts';
import { Fault } from '../../src/std/fault.ts';
import { lockFile } from '../../src/std/memory.ts';
import { writeTinyModel } from './tiny-llama.ts';

const folder = writeTinyModel(5);
const caches: string[] = [];
let cacheDir = '';
beforeEach(() => {
  cacheDir = mkdtempSync(join(tmpdir(), 'tdist-built-'));
  caches.push(cacheDir);
});
afterAll(() => {
  for (const path of [folder, ...caches]) rmSync(path, { recursive: true, force: true });
});

const optionsOf = (model: Model) => ({
  modelDigest: model.modelDigest,
  quantization: model.quantization,
  cacheDir,
  weights: model.weights,
});

/** A clock whose timers fire as soon as everything else had its turn. */
const hasty: Clock = {
  ...new ManualClock(),
  nowMs: () => 0,
  epochS: () => 0,
  after(_delayMs, fire) {
    const handle = setImmediate(fire);
    return { cancel: () => clearImmediate(handle) };
  },
};

/** Does its jobs at once, on this thread. */
function plainCrew(path: string): Crew & { close(): void } {
  const fd = openSync(path, 'r+');
  return { size: 2, run: async (job) => runJob(job, fd), close: () => closeSync(fd) };
}

function builders(changes: Partial<Builders> = {}): Builders {
  const quiet = (): void => undefined;
  return { openCrew: plainCrew, clock: hasty, onProgress: quiet, onWait: quiet, ...changes };
}

const shelf = (): string[] => readdirSync(join(cacheDir, 'graphs'));

describe('builtGraph', () => {
  test.each(['none', 'int8', 'int4'] as const)(
    '%s: threads write the bytes that one thread writes',
    async (quantization) => {
      const model = openModel(folder, quantization);
      const told: number[][] = [];
      const path = await builtGraph(
        model.config,
        optionsOf(model),
        builders({
          openCrew: (file) => openWeightCrew(2, file),
          onProgress: (bytes, total) => told.push([bytes, total]),
        }),
      );
      const [model1, data1] = [path, join(dirname(path), 'weights.bin')].map((file) =>
        readFileSync(file),
      );
      rmSync(dirname(path), { recursive: true });
      const alone = cachedGraph(model.config, optionsOf(model));
      expect(alone).toBe(path);
      expect(readFileSync(alone).equals(model1 ?? Buffer.of())).toBeTrue();
      expect(
        readFileSync(join(dirname(alone), 'weights.bin')).equals(data1 ?? Buffer.of()),
      ).toBeTrue();
      const [written = 0, total = 0] = told.at(-1) ?? [];
      expect(total).toBe(data1?.byteLength ?? 0);
      // What is not written are the gaps up to the next page.
      expect(total - written).toBeLessThan(4096 * 60);
      expect(told.every(([bytes = 0], i) => bytes > (told[i - 1]?.[0] ?? 0))).toBeTrue();
      expect(shelf()).toEqual([dirname(path).split('/').at(-1) ?? '']);
    },
  );

  test('two at once: one builds, the other waits and finds it', async () => {
    const model = openModel(folder);
    let [crews, waits] = [0, 0];
    const both = builders({
      openCrew(path) {
        crews++;
        const crew = plainCrew(path);
        const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
        return { ...crew, run: async (job) => crew.run(job).then(turn) };
      },
      onWait: () => waits++,
    });
    const build = () => builtGraph(model.config, optionsOf(model), both);
    const [a, b] = await Promise.all([build(), build()]);
    expect(a).toBe(b ?? '');
    expect([crews, waits]).toEqual([1, 1]);
    expect(await build()).toBe(a ?? '');
    expect([crews, waits]).toEqual([1, 1]);
    expect(shelf().length).toBe(1);
  });

  test('a builder that died leaves a lock that nobody holds, and a part: neither hinders nor stays', async () => {
    const model = openModel(folder);
    const path = await builtGraph(model.config, optionsOf(model), builders());
    const graph = dirname(path);
    rmSync(graph, { recursive: true });
    writeFileSync(`${graph}.lock`, '');
    mkdirSync(`${graph}.Ab12Cd`);
    expect(await builtGraph(model.config, optionsOf(model), builders())).toBe(path);
    expect(shelf().length).toBe(1);
  });

  test('a living one’s lock is waited for', async () => {
    const model = openModel(folder);
    const path = await builtGraph(model.config, optionsOf(model), builders());
    rmSync(dirname(path), { recursive: true });
    const fd = openSync(`${dirname(path)}.lock`, 'a');
    expect(lockFile(fd, 'try')).toBeTrue();
    let looks = 0;
    const clock: Clock = {
      ...hasty,
      after(delayMs, fire) {
        looks++;
        expect(existsSync(path)).toBeFalse();
        if (looks === 3) closeSync(fd); // its holder dies
        return hasty.after(delayMs, fire);
      },
    };
    expect(await builtGraph(model.config, optionsOf(model), builders({ clock }))).toBe(path);
    expect(looks).toBe(3);
  });

  test('a crew that fails: its fault, and nothing is left', async () => {
    const model = openModel(folder);
    let jobs = 0;
    const openCrew = (path: string) => ({
      ...plainCrew(path),
      run: async () => {
        if (++jobs > 3) throw new Fault('config', 'tensor x has NaN');
      },
    });
    const failed = builtGraph(model.config, optionsOf(model), builders({ openCrew }));
    await expect(failed).rejects.toThrow('tensor x has NaN');
    expect(shelf()).toEqual([]);
    expect(jobs).toBeLessThan(8); // the others stopped, too
  });
});

test('a model many times the memory that building takes', async () => {
  const script = join(import.meta.dir, 'build-memory.ts');
  const child = Bun.spawn([process.execPath, script, cacheDir], { stdout: 'pipe' });
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  const { growth, source, result, tensor } = JSON.parse(text);
  expect(source).toBeGreaterThan(400 * 2 ** 20);
  expect(growth).toBeLessThan(1.3 * result + tensor);
  expect(growth).toBeLessThan(0.4 * source);
}, 60_000);
