import { describe, expect, test } from 'bun:test';
import { Registry } from '../../src/plane/registry.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { digest } from '../../src/std/hash.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { card, heartbeat } from './make.ts';

function world(workerCountMax?: number) {
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = createLog({ level: 1, sink: (line) => lines.push(line), name: '' });
  const limits = workerCountMax === undefined ? {} : { workerCountMax };
  const registry = new Registry({ clock, log, presenceMs: 3500, ...limits });
  const ids = () => registry.workers().map(({ worker }) => worker);
  return { clock, lines, registry, ids };
}

describe('registry', () => {
  test('a worker lives as long as it is heard of', () => {
    const { clock, registry, ids } = world();
    const gone: string[] = [];
    registry.onGone((worker, why) => gone.push(`${worker} ${why}`));
    expect(registry.nextExpiryMs()).toBeNull();
    registry.observe(heartbeat('a', 'generate'));
    clock.advance(2000);
    registry.observe(heartbeat('b', 'context'));
    expect(registry.nextExpiryMs()).toBe(3500);
    clock.advance(1499);
    registry.expire();
    expect(ids()).toEqual(['a', 'b']);
    clock.advance(1);
    registry.expire();
    expect(ids()).toEqual(['b']);
    expect(gone).toEqual(['a was silent for 3500 ms']);
    expect(registry.has('a')).toBeFalse();
  });

  test('`gone` removes at once; an unknown one’s is nothing', () => {
    const { registry, ids } = world();
    const gone: string[] = [];
    registry.onGone((worker) => gone.push(worker));
    registry.observe(heartbeat('a', 'generate'));
    registry.observe(heartbeat('a', 'generate', { state: 'gone' }));
    registry.observe(heartbeat('x', 'generate', { state: 'gone' }));
    expect(ids()).toEqual([]);
    expect(gone).toEqual(['a']);
  });

  test('listeners hear of members and states, not of load', () => {
    const { registry } = world();
    let changes = 0;
    const off = registry.onChange(() => changes++);
    registry.observe(heartbeat('a', 'generate', { state: 'starting' }));
    registry.observe(heartbeat('a', 'generate', { state: 'ready' }));
    const load = {
      running: 3,
      waiting: 1,
      slots: 8,
      freeTokens: 5,
      pendingTokens: 0,
      decoding: 0,
      prefixKeys: [],
    };
    registry.observe(heartbeat('a', 'generate', { load }));
    expect(changes).toBe(2);
    expect(registry.workers()[0]?.load).toEqual(load);
    registry.observe(heartbeat('a', 'generate', { state: 'gone' }));
    expect(changes).toBe(3);
    off();
    registry.observe(heartbeat('b', 'generate'));
    expect(changes).toBe(3);
  });

  test('a model is listed while somebody could serve it', () => {
    const { clock, registry } = world();
    clock.advance(5000);
    registry.observe(heartbeat('c', 'context'));
    expect(registry.models()).toEqual([]);
    registry.observe(heartbeat('g', 'generate', { state: 'starting' }));
    expect(registry.models()).toEqual([]);
    clock.advance(2000);
    registry.observe(heartbeat('g', 'generate', { card: card({ maxModelLen: 2048 }) }));
    const { textDigest } = card();
    expect(registry.models()).toEqual([
      {
        name: 'llama',
        maxModelLen: 2048,
        vocabSize: 300,
        textDigest,
        toolParser: null,
        reasoningParser: null,
        createdS: 5,
      },
    ]);
    const told = card({ toolParser: 'hermes', reasoningParser: 'think' });
    registry.observe(heartbeat('c', 'context', { card: told }));
    expect(registry.models()).toMatchObject([{ toolParser: 'hermes', reasoningParser: 'think' }]);
    registry.observe(heartbeat('g', 'generate', { state: 'draining' }));
    expect(registry.models()).toEqual([]);
    registry.observe(heartbeat('b', 'baseline'));
    expect(registry.models().length).toBe(1);
  });

  test('one name with two contents: the older serves, with one warning naming both', () => {
    const { registry, lines } = world();
    const other = card({ modelDigest: digest('other') });
    registry.observe(heartbeat('old', 'generate'));
    registry.observe(heartbeat('new', 'generate', { card: other }));
    registry.observe(heartbeat('new', 'generate', { card: other, state: 'draining' }));
    registry.observe(heartbeat('new', 'generate', { card: other }));
    expect(registry.group('llama').map(({ worker }) => worker)).toEqual(['old']);
    const warnings = lines.filter((line) => line.includes('two contents'));
    expect(warnings.length).toBe(1);
    expect(warnings[0]).toContain('workers old and new');
    registry.observe(heartbeat('old', 'generate', { state: 'draining' }));
    expect(registry.group('llama').map(({ worker }) => worker)).toEqual(['new']);
  });

  test('the number of workers is bounded, with one warning', () => {
    const { registry, lines, ids } = world(2);
    for (const id of ['a', 'b', 'c', 'd']) registry.observe(heartbeat(id, 'generate'));
    expect(ids()).toEqual(['a', 'b']);
    expect(lines.filter((line) => line.includes('more than 2 workers')).length).toBe(1);
    registry.observe(heartbeat('a', 'generate', { state: 'gone' }));
    registry.observe(heartbeat('c', 'generate'));
    expect(ids()).toEqual(['b', 'c']);
  });
});
