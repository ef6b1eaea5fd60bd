import { describe, expect, test } from 'bun:test';
import { AssetStore } from '../../src/plane/assets.ts';
import type { Bus } from '../../src/plane/bus.ts';
import { encode } from '../../src/plane/codec.ts';
import type { Registry } from '../../src/plane/registry.ts';
import type { ServedModel } from '../../src/protocol/request.ts';
import { subjects } from '../../src/protocol/subject.ts';
import { digest } from '../../src/std/hash.ts';
import { Cluster, faultOf } from './cluster.ts';
import { card } from './make.ts';

const big = { words: Array.from({ length: 30_000 }, (_, index) => `wörd${index}`) };
const tokenizer = new TextEncoder().encode(JSON.stringify(big));
const tokenizerConfig = new TextEncoder().encode('{"chat_template":"{{ x }}"}');
const textDigest = digest(tokenizer, tokenizerConfig);
const assets = { tokenizer, tokenizerConfig };

function only(cluster: Cluster): ServedModel {
  const [model] = cluster.client.models();
  if (model === undefined) throw new Error('no model is served');
  return model;
}

describe('text assets', () => {
  test('come in slices that fit a message, once, shared by all who ask', async () => {
    const cluster = new Cluster({ maxPayloadBytes: 64 * 1024 });
    await cluster.worker('g', 'generate', null, { assets, card: card({ textDigest }) });
    const model = only(cluster);
    const asked = [cluster.client.textAssets(model), cluster.client.textAssets(model)];
    const [one, two] = await Promise.all(asked);
    expect(one).toEqual({ tokenizer: big, tokenizerConfig: { chat_template: '{{ x }}' } });
    expect(two === one).toBeTrue();
    cluster.bus.disconnect();
    expect((await cluster.client.textAssets(model)) === one).toBeTrue();
  });

  test('what does not fit the announced digest is refused; another worker is asked', async () => {
    const cluster = new Cluster();
    const wrong = { tokenizer, tokenizerConfig: new TextEncoder().encode('{}') };
    const bad = card({ textDigest });
    await cluster.worker('g1', 'generate', null, { assets: wrong, card: bad });
    const model = only(cluster);
    const fault = await faultOf(cluster.client.textAssets(model));
    expect(fault.code).toBe('plane');
    expect(fault.message).toContain('announced was');
    await cluster.worker('g2', 'generate', null, { assets, card: bad });
    expect((await cluster.client.textAssets(model)).tokenizer).toEqual(big);
  });

  test('nobody has them', async () => {
    const cluster = new Cluster();
    await cluster.worker('g', 'generate');
    const model = { ...only(cluster), textDigest: 'f'.repeat(64) };
    expect(await faultOf(cluster.client.textAssets(model))).toMatchObject({ code: 'no_worker' });
  });

  test('a worker that sends a byte at a time is given up', async () => {
    let count = 0;
    const request = async () => {
      count++;
      return encode({ v: 1, totalBytes: 100_000_000, slice: 'YQ==' });
    };
    // Of both no more is used here.
    const bus = { request } as unknown as Bus;
    const registry = {
      workers: () => [{ worker: 'g', card: card({ textDigest }) }],
    } as unknown as Registry;
    const store = new AssetStore({ bus, subjects: subjects('tdist'), registry });
    const model = { name: 'llama', textDigest } as ServedModel;
    const fault = await faultOf(store.get(model));
    expect([fault.code, count]).toEqual(['plane', 2]);
  });
});
