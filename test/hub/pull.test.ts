// A pull from beginning to end: what lies in the cache afterwards, what was asked of whom.

import { describe, expect, test } from 'bun:test';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { limit } from '../../src/protocol/limit.ts';
import { etagOf } from './fake-hub.ts';
import { faultOf, HubWorld, noise, tinyFiles, wantedNames, weightBytes } from './world.ts';

describe('the cache', () => {
  test('is laid out as Python has it: blobs by etag, links in the snapshot, the ref', async () => {
    await using world = await HubWorld.open();
    const repo = world.hub.add('org/tiny', tinyFiles());
    const { commit, folder, files } = await world.pull();
    expect(folder).toBe(world.path('snapshots', commit));
    expect(readFileSync(world.path('refs/main'), 'utf8')).toBe(commit);
    expect(readdirSync(folder).sort()).toEqual(wantedNames);
    for (const name of wantedNames) {
      const file = repo.files.get(name);
      if (file === undefined) throw new Error(name);
      expect(readlinkSync(join(folder, name))).toBe(`../../blobs/${etagOf(file)}`);
      expect(readFileSync(join(folder, name)).equals(file.bytes)).toBeTrue();
    }
    const blobs = readdirSync(world.path('blobs'));
    expect(blobs.filter((name) => name.includes('.'))).toEqual([]);
    const locks = readdirSync(join(world.cacheDir, '.locks/models--org--tiny'));
    expect(locks.sort()).toEqual(blobs.map((name) => `${name}.lock`).sort());
    expect(files.map(({ name }) => name).sort()).toEqual(wantedNames);
  });

  test('a second pull asks for no bytes; a new commit only for those that changed', async () => {
    await using world = await HubWorld.open();
    world.hub.add('org/tiny', tinyFiles());
    const first = await world.pull();
    world.hub.asked.length = 0;
    expect((await world.pull()).files.map((file) => file.downloadedBytes)).toEqual(
      wantedNames.map(() => 0),
    );
    expect(world.hub.asked.filter(({ path }) => !path.startsWith('/api/models/'))).toEqual([]);
    world.hub.add('org/tiny', tinyFiles({ 'config.json': '{"model_type": "qwen2"}' }));
    const second = await world.pull();
    expect(second.commit).not.toBe(first.commit);
    const came = second.files.filter((file) => file.downloadedBytes > 0);
    expect(came.map(({ name }) => name)).toEqual(['config.json']);
    expect(readFileSync(world.path('refs/main'), 'utf8')).toBe(second.commit);
    expect(existsSync(join(first.folder, 'model.safetensors'))).toBeTrue();
  });

  test('a blob that Python has downloaded is taken as it is', async () => {
    await using world = await HubWorld.open();
    const repo = world.hub.add('org/tiny', tinyFiles());
    const weights = repo.files.get('model.safetensors');
    if (weights === undefined) throw new Error('no weights');
    mkdirSync(world.path('blobs'), { recursive: true });
    writeFileSync(world.path('blobs', etagOf(weights)), weights.bytes);
    await world.pull();
    expect(world.hub.bytesAsked('model.safetensors')).toEqual([]);
    expect(world.hub.bytesAsked('config.json')).toHaveLength(1);
  });

  test('a tag has a ref of its own, a commit has none', async () => {
    await using world = await HubWorld.open();
    const repo = world.hub.add('org/tiny', tinyFiles());
    const commit = repo.refs.get('main') ?? '';
    repo.refs.set('v1.0', commit);
    await world.pull('org/tiny@v1.0');
    expect(readdirSync(world.path('refs'))).toEqual(['v1.0']);
    await world.pull(`org/tiny@${commit}`);
    expect(readdirSync(world.path('refs'))).toEqual(['v1.0']);
  });
});

describe('what is asked for', () => {
  test('the token goes to the hub and never to the server that it redirects to', async () => {
    await using world = await HubWorld.open();
    world.hub.add('org/tiny', tinyFiles()).access = 'gated';
    await world.pull('org/tiny', { token: world.hub.token });
    const by = (server: string) => world.hub.asked.filter((asked) => asked.server === server);
    expect(by('cdn').map(({ path }) => path)).toEqual(['/bytes/org/tiny/model.safetensors']);
    expect(by('cdn').map(({ authorization }) => authorization)).toEqual([null]);
    expect(by('hub').length).toBeGreaterThan(wantedNames.length);
    for (const { authorization } of by('hub')) expect(authorization).toBe('Bearer hf_right');
  });

  test('several files are under way at once', async () => {
    await using world = await HubWorld.open();
    world.hub.add('org/tiny', tinyFiles());
    const full = Promise.withResolvers<void>();
    let underWay = 0;
    world.hub.onBytes = async (name) => {
      if (name === world.hub.bytesAskedFirst) return; // asks alone whether we may
      underWay++;
      if (underWay === limit.hubLaneMax) full.resolve();
      await full.promise; // with fewer it would never come
    };
    const { files } = await world.pull();
    expect(files).toHaveLength(wantedNames.length);
  });

  test('a tokenizer alone, and it leads nobody away from a whole model', async () => {
    await using world = await HubWorld.open();
    world.hub.add('org/tiny', tinyFiles());
    const whole = await world.pull();
    world.hub.add('org/tiny', tinyFiles({ 'tokenizer.json': '{"model": {"new": 1}}' }));
    const text = await world.pull('org/tiny', { part: 'text' });
    expect(readdirSync(text.folder).sort()).toEqual([
      'chat_template.jinja',
      'special_tokens_map.json',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect((await world.locate('org/tiny', { offline: true })).commit).toBe(whole.commit);
  });

  test('weights in several files: those of the index, and no other copy', async () => {
    await using world = await HubWorld.open();
    const { 'model.safetensors': _, ...others } = tinyFiles();
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    world.hub.add('org/tiny', {
      ...others,
      'consolidated.safetensors': noise(500, 7),
      [shards[0] ?? '']: noise(weightBytes, 2),
      [shards[1] ?? '']: noise(weightBytes, 3),
      'model.safetensors.index.json': JSON.stringify({
        weight_map: { a: shards[0], b: shards[1] },
      }),
    });
    const { folder, files } = await world.pull();
    expect(files.slice(-3).map(({ name }) => name)).toEqual([
      'model.safetensors.index.json',
      ...shards,
    ]);
    expect(existsSync(join(folder, 'consolidated.safetensors'))).toBeFalse();
    expect(files.reduce((sum, file) => sum + file.downloadedBytes, 0)).toBe(
      files.reduce((sum, file) => sum + file.bytes, 0),
    );
  });

  test.each<[string, Record<string, string | Uint8Array>, string[], string]>([
    ['no safetensors', {}, ['model.safetensors'], 'no *.safetensors'],
    ['no tokenizer', {}, ['tokenizer.json'], 'has no tokenizer.json'],
    [
      'an index of a file that is not there',
      { 'model.safetensors.index.json': '{"weight_map":{"a":"b.safetensors"}}' },
      ['model.safetensors'],
      'b.safetensors',
    ],
    [
      'an index that leads out',
      { 'model.safetensors.index.json': '{"weight_map":{"a":"../b.safetensors"}}' },
      ['model.safetensors'],
      'weight_map',
    ],
  ])('%s is one line, and no weights are downloaded', async (_name, more, without, wanted) => {
    await using world = await HubWorld.open();
    const files = Object.entries(tinyFiles(more)).filter(([name]) => !without.includes(name));
    world.hub.add('org/tiny', Object.fromEntries(files));
    const { message } = await faultOf(world.pull());
    expect(message).toContain(wanted);
    expect(message).not.toContain('\n');
    expect(world.hub.asked.filter(({ server }) => server === 'cdn')).toEqual([]);
    expect(existsSync(world.path('refs'))).toBeFalse();
  });

  test('names that lead out of the snapshot are no files of a model', async () => {
    await using world = await HubWorld.open();
    const { 'model.safetensors': weights, ...texts } = tinyFiles();
    world.hub.add('org/tiny', { ...texts, 'weights.safetensors': weights });
    for (const path of ['../../evil.safetensors', '/etc/evil.safetensors', 'a/b.safetensors']) {
      const oid = '3'.repeat(40);
      world.hub.strangeEntries.push({ type: 'file', path, size: 3, oid });
    }
    const { folder } = await world.pull();
    const wanted = wantedNames.filter((name) => name !== 'model.safetensors');
    expect(readdirSync(folder).sort()).toEqual([...wanted, 'weights.safetensors']);
  });

  test('an etag that would lead out of the blobs is refused', async () => {
    await using world = await HubWorld.open();
    world.hub.add('org/tiny', { 'config.json': '{}', 'tokenizer.json': '{}' });
    const entry = { type: 'file', path: 'tokenizer_config.json', size: 2, oid: '../../../evil' };
    world.hub.strangeEntries.push(entry);
    expect((await faultOf(world.pull())).message).toContain('no tokenizer_config.json');
  });

  test('a listing without end is left', async () => {
    await using world = await HubWorld.open();
    world.hub.add('org/tiny', tinyFiles());
    world.hub.isEndless = true;
    expect((await faultOf(world.pull())).message).toContain('no end of pages');
  });

  test('what is no hub is said to be none', async () => {
    await using world = await HubWorld.open();
    world.hub.add('org/tiny', tinyFiles());
    world.hub.apiFaults.push({ type: 'status', status: 200 });
    expect((await faultOf(world.pull())).message).toContain('HF_ENDPOINT');
  });
});
